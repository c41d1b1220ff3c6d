// The settings of a race that is about to start: sensible from the first moment, and turned into a request when someone presses Start.
import type { Method, OptionValues } from '../engine/methods/method'
import type { Precision } from '../engine/model/precision'
import { inStages } from '../engine/training/defaultRecipe'
import { groupedBySeed, withSeeds } from '../engine/training/seeds'
import type { Recipe, RecipePart } from '../engine/training/recipe'
import type { ModelSource, RaceRequest, RunRequest, TaskSource } from '../worker/protocol'
import type { Tuning } from '../worker/tuningCalls'
import { siteModels, siteTasks } from './catalogue'
import { hybridKey, hybridOf, hybridTitle, partKey, readHybrid } from './hybrids'
import { DEFAULT_HUB, modelKey, modelOfKey, modelTitle } from './modelKeys'

export const BASELINE = 'handwrittenPrompt'

/** The registry as the page needs it: the rows, and the recipe that a method gets where nobody chose another. */
export interface MethodTable {
  methods: readonly Method[]
  defaultRecipe(method: string, seed: number): Recipe
}

export interface MethodSetup {
  options: OptionValues
  learningRate: number
  weightDecay: number
}

/** What the rail shows and the link carries. */
export interface SetupValues {
  /** As `modelKeys.ts` names it. */
  model: string
  /** The address that models are downloaded from. */
  hub: string
  /** Of `siteTasks`; ignored where a file of the user's is chosen. */
  task: string
  /** Methods that are tuned, beside the hand-written prompt. */
  methods: string[]
  /** Several methods as one run each, by their `hybridKey`. */
  hybrids: string[]
  budgetKind: 'steps' | 'seconds'
  steps: number
  seconds: number
  evaluateEvery: number
  patience: number
  batchSize: number
  /** Tokens of a text beyond which it is cut. */
  maximumLength: number
  /** How the frozen weights are held on the device. */
  precision: Precision
  /** How matrix products are tiled on a graphics card. */
  tune: Tuning
  /** Products of the forward pass may be computed in float16, where the graphics card can. */
  float16Products: boolean
  /** Each layer is computed twice, so that less of it need be kept. */
  gradientCheckpointing: boolean
  /** 0 is all. */
  trainingExamples: number
  seed: number
  /** Runs of each method that trains, with as many seeds from `seed` on. */
  seeds: number
  /** A run from random numbers beside each whose method has another start. */
  againstRandom: boolean
}

export const defaultSetup: Readonly<SetupValues> = {
  model: siteModels[0]?.id ?? '',
  hub: DEFAULT_HUB,
  task: siteTasks[0]?.id ?? '',
  methods: ['softPrompt', 'allWeights'],
  hybrids: [],
  budgetKind: 'steps',
  steps: 100,
  seconds: 60,
  evaluateEvery: 20,
  patience: 0,
  batchSize: 16,
  maximumLength: 256,
  precision: 'stored',
  tune: 'auto',
  float16Products: false,
  gradientCheckpointing: false,
  trainingExamples: 0,
  seed: 1,
  seeds: 1,
  againstRandom: false
}

/** Whole-number settings: their limits, shown beside the field and held by links too. */
export const numberFields = {
  steps: {
    label: 'Steps',
    minimum: 1,
    maximum: 10_000,
    help: 'How many times each method may change its numbers. Every step reads one batch of examples.'
  },
  seconds: {
    label: 'Seconds',
    minimum: 5,
    maximum: 3600,
    help: 'Training time for each method. Compiling and evaluating are not charged.'
  },
  evaluateEvery: {
    label: 'Validate every',
    minimum: 1,
    maximum: 1000,
    help: 'Steps between two looks at the validation examples. The step that does best there is the one that is kept.'
  },
  patience: {
    label: 'Patience',
    minimum: 0,
    maximum: 100,
    help: 'Stop a method early after so many validations without a better one. 0 never stops early.'
  },
  batchSize: { label: 'Batch size', minimum: 1, maximum: 64, help: 'Examples read in one step. All methods read the same ones.' },
  maximumLength: {
    label: 'Longest text',
    minimum: 16,
    maximum: 4096,
    help: 'In tokens. Longer texts are cut on their left; shorter ones take less memory and time.'
  },
  trainingExamples: {
    label: 'Training examples',
    minimum: 0,
    maximum: 100_000,
    help: 'How many examples are trained on, balanced over the labels. Few of them show which method learns from little. 0 takes all.'
  },
  seed: {
    label: 'Seed',
    minimum: 0,
    maximum: 999_999,
    help: 'Decides the order of the examples and the first values. The same seed gives the same race again.'
  },
  seeds: {
    label: 'Repeat with seeds',
    minimum: 1,
    maximum: 5,
    help: 'Runs each method so many times, with the seed and those that follow, and tells mean and spread: one run alone may be luck.'
  }
} as const

export type NumberFieldName = keyof typeof numberFields

/** What is wrong with a whole-number setting, or undefined. */
export function numberProblem(field: NumberFieldName, value: number): string | undefined {
  const { label, minimum, maximum } = numberFields[field]
  if (Number.isInteger(value) && value >= minimum && value <= maximum) return undefined
  return `${label} takes a whole number from ${minimum} to ${maximum}.`
}

/** A method's options as they stand before anyone touches them. */
export function defaultMethodSetup(method: Method): MethodSetup {
  const options = Object.fromEntries(Object.entries(method.options).map(([name, option]) => [name, option.default]))
  return { options, learningRate: method.defaults.learningRate, weightDecay: method.defaults.weightDecay }
}

/** The runs of a race: the hand-written prompt first, then every chosen method in the registry's order, then the hybrids. */
export function runRequests(
  values: SetupValues,
  methodSetups: Readonly<Record<string, MethodSetup>>,
  table: MethodTable,
  newId: (key: string) => string
): RunRequest[] {
  const partOf = (method: Method, key: string): RecipePart => {
    const { options, learningRate, weightDecay } = methodSetups[key] ?? defaultMethodSetup(method)
    return { method: method.id, options: { ...options }, learningRate, weightDecay }
  }
  const run = (key: string, name: string, parts: RecipePart[]): RunRequest => {
    const recipe = {
      ...table.defaultRecipe(parts[0]?.method ?? '', values.seed),
      parts,
      batchSize: values.batchSize,
      maximumLength: values.maximumLength
    }
    return { id: newId(key), name, recipe: values.gradientCheckpointing ? { ...recipe, gradientCheckpointing: true } : recipe }
  }
  const beside = (method: Method): RunRequest[] => {
    const part = partOf(method, method.id)
    if (!values.againstRandom || !hasRandomStart(method) || part.options.start === RANDOM) return []
    return [run(`${method.id}.${RANDOM}`, `${method.title}, random start`, [{ ...part, options: { ...part.options, start: RANDOM } }])]
  }
  const single = table.methods
    .filter((method) => method.id === BASELINE || values.methods.includes(method.id))
    .sort((a, b) => Number(b.id === BASELINE) - Number(a.id === BASELINE))
    .flatMap((method) => [run(method.id, method.title, [partOf(method, method.id)]), ...beside(method)])
  const hybrids = values.hybrids.map((key) => {
    const hybrid = readHybrid(key)
    const rows = hybrid.methods.flatMap((id) => table.methods.find((method) => method.id === id) ?? [])
    const parts = rows.map((method) => partOf(method, partKey(key, method.id)))
    return run(key, hybridTitle(hybrid, table.methods), hybrid.isStaged ? inStages(parts) : parts)
  })
  return [...single, ...hybrids]
}

/** The chosen model, whether it is in this browser or not. */
export function sourceOfModel({ model, precision }: SetupValues): ModelSource {
  const source = modelOfKey(model) ?? { kind: 'site', path: model }
  return precision === defaultSetup.precision ? source : { ...source, precision }
}

const RANDOM = 'random'

/** Whether a method can start from random numbers and from something else. */
export function hasRandomStart({ options: { start } }: Method): boolean {
  return start?.kind === 'choice' && start.choices.some(({ value }) => value === RANDOM)
}

/** Everything the worker needs to start; `newId` gives a new id for the race and for each run. */
export function raceRequest(
  values: SetupValues,
  methodSetups: Readonly<Record<string, MethodSetup>>,
  table: MethodTable,
  task: TaskSource,
  newId: (key?: string) => string
): RaceRequest {
  const budget =
    values.budgetKind === 'steps' ? { kind: 'steps' as const, steps: values.steps } : { kind: 'seconds' as const, seconds: values.seconds }
  const taskTitle = task.kind === 'site' ? (siteTasks.find((row) => row.path === task.path)?.title ?? task.path) : task.name
  const model = sourceOfModel(values)
  return {
    id: newId(),
    name: `${taskTitle}, ${modelTitle(model)}`,
    model,
    task,
    runs: withSeeds(runRequests(values, methodSetups, table, newId), values.seeds, newId, ({ parts }) =>
      parts.some((part) => table.methods.find(({ id }) => id === part.method)?.trains)
    ),
    settings: {
      budget,
      evaluateEvery: values.evaluateEvery,
      patience: values.patience,
      ...(values.trainingExamples > 0 && { trainingExamples: values.trainingExamples })
    }
  }
}

const isAlone = ({ recipe: { parts } }: RunRequest, method: string | undefined): boolean =>
  parts.length === 1 && parts[0]?.method === method

const unique = (ids: string[]): string[] => [...new Set(ids)]

export type FileTask = Extract<TaskSource, { kind: 'file' }>

/** The settings that would ask for this race again; what the rail cannot show stays as it is in `values`. */
export function setupOf(
  request: RaceRequest,
  values: SetupValues
): { values: SetupValues; methodSetups: Record<string, MethodSetup>; file: FileTask | undefined } {
  const { model, task, settings } = request
  const groups = groupedBySeed(request.runs, ({ recipe }) => recipe)
  const first = groups.flatMap(([run]) => run ?? [])
  const isBeside = ({ recipe: { parts } }: RunRequest): boolean =>
    parts.length === 1 && parts[0]?.options.start === RANDOM && first.filter((run) => isAlone(run, parts[0]?.method)).length > 1
  const runs = first
    .filter((run) => !isBeside(run))
    .map(({ recipe: { parts } }) => ({ parts, hybrid: parts.length > 1 ? hybridKey(hybridOf(parts)) : undefined }))
  const recipe = request.runs[0]?.recipe
  return {
    values: {
      ...values,
      model: modelKey(model) ?? values.model,
      task: siteTasks.find((row) => task.kind === 'site' && row.path === task.path)?.id ?? values.task,
      methods: unique(runs.flatMap(({ parts, hybrid }) => (hybrid === undefined ? (parts[0]?.method ?? []) : []))).filter(
        (method) => method !== BASELINE
      ),
      hybrids: unique(runs.flatMap(({ hybrid }) => hybrid ?? [])),
      budgetKind: settings.budget.kind,
      ...(settings.budget.kind === 'steps' ? { steps: settings.budget.steps } : { seconds: settings.budget.seconds }),
      evaluateEvery: settings.evaluateEvery,
      patience: settings.patience,
      trainingExamples: settings.trainingExamples ?? 0,
      precision: model.precision ?? defaultSetup.precision,
      gradientCheckpointing: recipe?.gradientCheckpointing ?? false,
      ...(recipe && { batchSize: recipe.batchSize, maximumLength: recipe.maximumLength, seed: recipe.seed }),
      seeds: Math.max(...groups.map((group) => group.length)),
      againstRandom: first.some(isBeside)
    },
    methodSetups: Object.fromEntries(
      runs.flatMap(({ parts, hybrid }) =>
        parts.map(({ method, options, learningRate, weightDecay }) => [
          hybrid === undefined ? method : partKey(hybrid, method),
          { options: { ...options }, learningRate, weightDecay }
        ])
      )
    ),
    file: task.kind === 'file' ? task : undefined
  }
}
