// One run without hands, for `npm run tune`: the page's engine and storage behind one call, with plain data in and out.
import { connectEngine } from './client/client'
import { describeError, UserError } from './engine/errors'
import type { GenerationMetrics, Output } from './engine/evaluation/generationMetrics'
import type { ClassificationMetrics } from './engine/evaluation/metrics'
import type { Option, OptionValue } from './engine/methods/method'
import { getMethod } from './engine/methods/registry'
import { defaultRecipe } from './engine/training/defaultRecipe'
import type { RaceSettings, Recipe, ScheduleKind } from './engine/training/recipe'
import type { Cost, Curve, Forgetting, RunResult, StopReason } from './engine/training/records'
import type { BackendName, DeviceReport, ModelReport, RaceEvent, TaskReport, TaskSource } from './worker/protocol'

/** What the command line asks for. Whatever of the recipe is left out comes from the method's defaults. */
export interface HeadlessRequest {
  /** Folder of the site, in the Hugging Face layout. */
  modelPath: string
  task: TaskSource
  method: string
  /** As typed: `{ virtualTokens: '20' }`. */
  options: Record<string, string>
  learningRate?: number
  weightDecay?: number
  warmupSteps?: number
  schedule?: ScheduleKind
  clipNorm?: number
  batchSize?: number
  maximumLength?: number
  seed: number
  settings: RaceSettings
  backend?: BackendName
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
function optionValue(option: Option | undefined, text: string): OptionValue {
  if (option?.kind === 'integer' || option?.kind === 'number') return text.trim() === '' || Number.isNaN(Number(text)) ? text : Number(text)
  if (option?.kind === 'flag' && (text === 'true' || text === 'false')) return text === 'true'
  return text
}

function recipeOf(request: HeadlessRequest): Recipe {
  const method = getMethod(request.method)
  const options = Object.fromEntries(Object.entries(request.options).map(([name, text]) => [name, optionValue(method.options[name], text)]))
  const recipe = defaultRecipe(request.method, request.seed, options)
  return {
    ...recipe,
    parts: recipe.parts.map((part) => ({
      ...part,
      learningRate: request.learningRate ?? part.learningRate,
      weightDecay: request.weightDecay ?? part.weightDecay
    })),
    schedule: { kind: request.schedule ?? recipe.schedule.kind, warmupSteps: request.warmupSteps ?? recipe.schedule.warmupSteps },
    optimiser: { ...recipe.optimiser, clipNorm: request.clipNorm ?? recipe.optimiser.clipNorm },
    batchSize: request.batchSize ?? recipe.batchSize,
    maximumLength: request.maximumLength ?? recipe.maximumLength
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

async function tune(request: HeadlessRequest): Promise<HeadlessResult> {
  const recipe = recipeOf(request)
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

    const log = new Log(request.settings)
    const run = { id: crypto.randomUUID(), name: request.method, recipe }
    const race = { id: crypto.randomUUID(), name: task.name, model: source, task: request.task, runs: [run], settings: request.settings }
    await engine.race(race, (event) => log.receive(event))
    if (log.problem && !log.result) throw new UserError(log.problem.message, log.problem.advice)
    if (!log.result) throw new UserError('The run ended without a result.', 'Run the command again; report it where it happens twice.')
    const { forgetting, cost, stopReason, bestStep } = log.result
    return {
      ...scores(log.result),
      forgetting,
      cost,
      stopReason,
      bestStep,
      curve: log.curve,
      recipe,
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
