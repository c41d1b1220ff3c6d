// What the command line asks for, and the race that it becomes.
import type { Engine } from '../client/client'
import { UserError } from '../engine/errors'
import { exportTable, type ExportKind } from '../engine/formats/exports'
import type { PeftFiles } from '../engine/formats/peft'
import type { Option, OptionValue } from '../engine/methods/method'
import { getMethod } from '../engine/methods/registry'
import type { Precision } from '../engine/model/precision'
import { defaultPart, recipeOf } from '../engine/training/defaultRecipe'
import { checkRecipe } from '../engine/training/recipeProblem'
import type { RaceSettings, Recipe, RecipePart } from '../engine/training/recipe'
import type { BackendName, ModelSource, RaceRequest, TaskSource } from '../worker/protocol'

/** A part of the recipe. Whatever is left out comes from the method's defaults. */
export interface HeadlessPart {
  method: string
  /** As typed (`{ virtualTokens: '20' }`), or as they are. `savedRun` is a folder of the site that holds a PEFT adapter. */
  options: Record<string, OptionValue>
  learningRate?: number
  weightDecay?: number
  window?: RecipePart['window']
}

/** What the command line asks for. */
export interface HeadlessRequest {
  /** Folder of the site, in the Hugging Face layout. */
  modelPath: string
  /** How its frozen weights are held. */
  precision?: Precision
  /** What model and run may take, in place of what the browser tells. */
  memoryBytes?: number
  task: TaskSource
  parts: HeadlessPart[]
  /** Folders of the site with PEFT adapters to start from, in place of parts. A budget of 0 steps only tests them. */
  adapters: string[]
  /** Of the adapters, in place of the registry's. */
  rates?: { learningRate?: number; weightDecay?: number }
  schedule?: Partial<Recipe['schedule']>
  optimiser?: Partial<Recipe['optimiser']>
  batchSize?: number
  maximumLength?: number
  gradientCheckpointing?: boolean
  seed: number
  settings: RaceSettings
  backend?: BackendName
  /** The form in which what was tuned is downloaded behind the result; the first that the recipe fits. */
  exportAs?: ExportKind | 'fitting'
}

/** The race that was asked for: one run, from the methods' own start or from adapters. */
export async function raceOf(engine: Engine, request: HeadlessRequest, model: ModelSource, name: string): Promise<RaceRequest> {
  const { task, settings, adapters, rates } = request
  const budgetOfNothing = settings.budget.kind === 'steps' && settings.budget.steps === 0
  const place = { model, task, settings: budgetOfNothing ? { ...settings, budget: { kind: 'steps' as const, steps: 1 } } : settings }
  const stored = async (folders: string[], evaluateOnly: boolean): Promise<RaceRequest> =>
    engine.importAdapter({
      ...place,
      adapters: await Promise.all(folders.map(fetchAdapter)),
      name,
      rates,
      recipe: recipeOfRequest([], request),
      evaluateOnly
    })
  if (adapters.length > 0) return stored(adapters, budgetOfNothing)
  const parts: RecipePart[] = []
  for (const part of request.parts) {
    const { start, savedRun } = part.options
    // In this browser a saved prompt is a run of its library, which the adapter becomes.
    const saved = start === 'saved' ? (await stored([savedRun as string], true)).runs[0]!.id : undefined
    parts.push(partOf(saved === undefined ? part : { ...part, options: { ...part.options, savedRun: saved } }))
  }
  const recipe = recipeOfRequest(parts, request)
  checkRecipe(recipe)
  const run = { id: crypto.randomUUID(), name: parts.map(({ method }) => method).join(' + '), recipe }
  return { ...place, id: crypto.randomUUID(), name, runs: [run] }
}

/** The form in which a recipe leaves, known before it is tuned. Throws a `UserError` where it cannot. */
export function exportKind(parts: readonly RecipePart[], wanted: ExportKind | 'fitting'): ExportKind {
  const rows = exportTable.filter(({ kind }) => wanted === 'fitting' || kind === wanted)
  const fitting = rows.find(({ refusal }) => refusal(parts) === undefined)
  if (fitting) return fitting.kind
  throw new UserError(rows[0]!.refusal(parts)!, 'Leave --export out, or choose another form.')
}

/** A typed option as its row of the registry wants it; what does not fit is left as text, for the registry to refuse with its range. */
function optionValue(option: Option | undefined, value: OptionValue): OptionValue {
  if (typeof value !== 'string') return value
  if (option?.kind === 'integer' || option?.kind === 'number')
    return value.trim() === '' || Number.isNaN(Number(value)) ? value : Number(value)
  if (option?.kind === 'flag' && (value === 'true' || value === 'false')) return value === 'true'
  return value
}

function partOf({ method: id, options, ...rest }: HeadlessPart): RecipePart {
  const method = getMethod(id)
  const values = Object.fromEntries(Object.entries(options).map(([name, value]) => [name, optionValue(method.options[name], value)]))
  return { ...defaultPart(id, values), ...rest }
}

function recipeOfRequest(parts: RecipePart[], request: HeadlessRequest): Recipe {
  const { seed, schedule, optimiser, batchSize, maximumLength, gradientCheckpointing } = request
  const recipe = recipeOf(parts, seed)
  return {
    ...recipe,
    ...(gradientCheckpointing !== undefined && { gradientCheckpointing }),
    schedule: { ...recipe.schedule, ...schedule },
    optimiser: { ...recipe.optimiser, ...optimiser },
    batchSize: batchSize ?? recipe.batchSize,
    maximumLength: maximumLength ?? recipe.maximumLength
  }
}

async function fetchAdapter(folder: string): Promise<PeftFiles> {
  const read = async (file: string) => new Uint8Array(await (await fetch(`${folder}/${file}`)).arrayBuffer())
  return {
    'adapter_config.json': await read('adapter_config.json'),
    'adapter_model.safetensors': await read('adapter_model.safetensors')
  }
}
