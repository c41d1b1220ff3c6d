// One run without hands, for `npm run tune`: the page's engine and storage behind one call, with plain data in and out.
import { connectEngine, type Engine } from './client/client'
import { describeError, UserError } from './engine/errors'
import type { GenerationMetrics, Output } from './engine/evaluation/generationMetrics'
import type { ClassificationMetrics } from './engine/evaluation/metrics'
import { exportTable, type ExportKind } from './engine/formats/exports'
import type { PeftFiles } from './engine/formats/peft'
import type { Option, OptionValue } from './engine/methods/method'
import { getMethod } from './engine/methods/registry'
import { defaultPart, recipeOf } from './engine/training/defaultRecipe'
import { checkRecipe } from './engine/training/recipeProblem'
import type { RaceSettings, Recipe, RecipePart } from './engine/training/recipe'
import type { Cost, Curve, Forgetting, RunResult, StopReason } from './engine/training/records'
import type { BackendName, DeviceReport, ModelReport, ModelSource, RaceEvent, RaceRequest, TaskReport, TaskSource } from './worker/protocol'

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

/** The test split's metrics under the names that are printed; the same shape for the validation split and the untrained model. */
export interface PrintedMetrics {
  examples: number
  accuracy: number
  balancedAccuracy: number
  precisionMacro: number
  recallMacro: number
  f1Macro: number
  f1Micro: number
  f1Weighted: number
  matthews: number
  rocAuc: number | null
  logLoss: number
  calibrationError: number
  labels: string[]
  confusion: number[][]
  perClass: { label: string; precision: number; recall: number; f1: number; support: number; rocAuc: number | null }[]
}

export interface HeadlessResult {
  metrics: PrintedMetrics | GenerationMetrics
  validation: PrintedMetrics | GenerationMetrics
  untrained: PrintedMetrics | GenerationMetrics
  /** Where answers are written: those to the first test examples. */
  outputs?: Output[]
  forgetting: Forgetting
  cost: Cost
  stopReason: StopReason
  /** The best step on the validation split, whose tensors were evaluated. */
  bestStep: number
  curve: Curve
  recipe: Recipe
  settings: RaceSettings
  model: Omit<ModelReport, 'card' | 'source'>
  task: { name: string; counts: TaskReport['counts']; notes: string[] }
  device: DeviceReport
}

/** A result, or the two sentences that say why there is none. */
export type HeadlessAnswer = { result: HeadlessResult } | { problem: { message: string; advice: string } }

declare global {
  interface Window {
    tuneground: { tune(request: HeadlessRequest): Promise<HeadlessAnswer> }
    /** Given by the command line: shows one line. */
    reportProgress(line: string): void
  }
}

function printed(metrics: ClassificationMetrics, labels: string[]): PrintedMetrics {
  return {
    examples: metrics.examples,
    accuracy: metrics.accuracy,
    balancedAccuracy: metrics.balancedAccuracy,
    precisionMacro: metrics.macro.precision,
    recallMacro: metrics.macro.recall,
    f1Macro: metrics.macro.f1,
    f1Micro: metrics.micro.f1,
    f1Weighted: metrics.weighted.f1,
    matthews: metrics.matthews,
    rocAuc: metrics.rocAuc,
    logLoss: metrics.logLoss,
    calibrationError: metrics.calibrationError,
    labels,
    confusion: metrics.confusion,
    perClass: metrics.perClass.map((row, index) => ({ label: labels[index] ?? '', ...row, rocAuc: metrics.rocAucPerClass[index] ?? null }))
  }
}

/** A result's numbers on the splits, under the names that are printed. */
function scores(result: RunResult): Pick<HeadlessResult, 'metrics' | 'validation' | 'untrained' | 'outputs'> {
  if (result.kind === 'generation')
    return { metrics: result.test, validation: result.validation, untrained: result.untrained, outputs: result.outputs }
  const { labels, test, validation, untrained } = result
  return { metrics: printed(test, labels), validation: printed(validation, labels), untrained: printed(untrained, labels) }
}

/** Accuracy where there are labels, else the perplexity. */
const validationLine = (loss: number, accuracy?: number): string =>
  `validation loss ${loss.toFixed(4)}, ${accuracy === undefined ? `perplexity ${Math.exp(loss).toPrecision(4)}` : `accuracy ${accuracy.toFixed(3)}`}`

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

/** Turns events into progress lines, at most one step line a second, and keeps what the result needs. */
class Log {
  readonly curve: Curve = { steps: [], validation: [] }
  result: RunResult | undefined
  problem: { message: string; advice: string } | undefined
  #secondsLeft = ''
  #lastLine = 0

  constructor(readonly settings: RaceSettings) {}

  receive(event: RaceEvent): void {
    switch (event.type) {
      case 'phase':
        return this.#say(event.detail || event.phase)
      case 'untrained':
        return this.#say(`untrained: ${validationLine(event.validationLoss, event.accuracy)}`)
      case 'step':
        this.curve.steps.push(event.record)
        if (performance.now() - this.#lastLine > 1000) {
          this.#say(`${this.#stepName(event.record.step)}: loss ${event.record.loss.toFixed(4)}${this.#secondsLeft}`)
        }
        return
      case 'validation': {
        const { step, loss, accuracy } = event.record
        this.curve.validation.push(event.record)
        return this.#say(`${this.#stepName(step)}: ${validationLine(loss, accuracy)}${this.#secondsLeft}`)
      }
      case 'time-left':
        this.#secondsLeft = `, ${Math.ceil(event.seconds)} s left`
        return
      case 'run-stopped':
        return this.#say(`stopped (${event.reason}); best step ${event.bestStep}`)
      case 'problem':
        this.problem = { message: event.message, advice: event.advice }
        return
      case 'result':
        this.result = event.result
        return
      case 'cost':
      case 'estimate':
      case 'memory':
      case 'checkpoint':
        return
    }
  }

  #stepName(step: number): string {
    return this.settings.budget.kind === 'steps' ? `step ${step}/${this.settings.budget.steps}` : `step ${step}`
  }

  #say(line: string): void {
    this.#lastLine = performance.now()
    window.reportProgress(line)
  }
}

/** The race that was asked for: one run, from the methods' own start or from adapters. */
async function raceOf(engine: Engine, request: HeadlessRequest, model: ModelSource, name: string): Promise<RaceRequest> {
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
function exportKind(parts: readonly RecipePart[], wanted: ExportKind | 'fitting'): ExportKind {
  const rows = exportTable.filter(({ kind }) => wanted === 'fitting' || kind === wanted)
  const fitting = rows.find(({ refusal }) => refusal(parts) === undefined)
  if (fitting) return fitting.kind
  throw new UserError(rows[0]!.refusal(parts)!, 'Leave --export out, or choose another form.')
}

function download(zip: Blob): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(zip)
  link.download = 'export.zip'
  link.click()
}

async function tune(request: HeadlessRequest): Promise<HeadlessResult> {
  const engine = connectEngine()
  try {
    const device = await engine.start({ prefer: request.backend, siteRoot: new URL('./', location.href).href })
    window.reportProgress(`device: ${device.backend}, ${device.adapter}`)
    const source = { kind: 'site' as const, path: request.modelPath }
    const { card: _card, source: _source, ...model } = await engine.loadModel(source, () => undefined)
    const { task, counts, notes } = await engine.loadTask(request.task)
    window.reportProgress(
      `${model.id}: ${model.parameters} parameters; ${task.name}: ${counts.train} / ${counts.validation} / ${counts.test} examples`
    )
    for (const note of notes) window.reportProgress(note)

    const race = await raceOf(engine, request, source, task.name)
    const run = race.runs[0]!
    const kind = request.exportAs && exportKind(run.recipe.parts, request.exportAs)
    const log = new Log(request.settings)
    await engine.race(race, (event) => log.receive(event))
    if (log.problem && !log.result) throw new UserError(log.problem.message, log.problem.advice)
    if (!log.result) throw new UserError('The run ended without a result.', 'Run the command again; report it where it happens twice.')
    if (kind) download(await engine.exportRun(run.id, kind))
    const { forgetting, cost, stopReason, bestStep } = log.result
    return {
      ...scores(log.result),
      forgetting,
      cost,
      stopReason,
      bestStep,
      curve: log.curve,
      recipe: run.recipe,
      settings: request.settings,
      model,
      task: { name: task.name, counts, notes },
      device
    }
  } finally {
    engine.close()
  }
}

window.tuneground = {
  tune: (request) =>
    tune(request).then(
      (result) => ({ result }),
      (error: unknown) => ({ problem: describeError(error) })
    )
}
