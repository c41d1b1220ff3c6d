// What is measured when a run has taken its last step: its answers at the best checkpoint, and what it forgot.
import type { Evaluation, Split } from '../evaluation/evaluate'
import { natsPerToken } from '../evaluation/forgetting'
import { evaluateTask, type TaskEvaluation, type TaskSplit } from '../evaluation/taskEvaluation'
import type { Adaptation } from '../methods/method'
import { getMethod } from '../methods/registry'
import { tunedAdaptation } from '../methods/tuned'
import type { DecoderConfig } from '../model/config'
import type { Decoder } from '../model/decoder'
import type { RaceData } from './data'
import { forwardWork } from './eta'
import type { ClassificationResult, Forgetting, GenerationResult, Prediction, RunResult } from './records'
import type { RaceRun } from './run'

/** The untouched model with the task's prompt: measured once, the same for every run of a race. */
export interface Untrained {
  validation: TaskEvaluation
  test: TaskEvaluation
}

/** The splits as one prompt asks them. */
export type Prompted = Pick<RaceData, 'validation' | 'test'>

/** What the untouched model answers to both splits, given what it answered to `validation` before the first step: labels were scored then, nothing written. */
export async function askUntouched(
  decoder: Decoder,
  splits: Prompted,
  validation: TaskEvaluation,
  between: () => Promise<void>
): Promise<Untrained> {
  const options = { writes: true, between }
  return {
    validation: validation.kind === 'classification' ? validation : await evaluateTask(decoder, splits.validation, options),
    test: await evaluateTask(decoder, splits.test, options)
  }
}

/** What is known before a run is evaluated. */
export interface Measured {
  untrained: Untrained
  /** Where the run asks with a prompt of its own. */
  prompted?: (Untrained & { splits: Prompted }) | undefined
  forgettingBefore: number
}

/** Everything that a finished run is compared by. Throws a `NotFiniteError` where its best tensors give no finite answers. */
export async function evaluateRun(
  run: RaceRun,
  decoder: Decoder,
  data: RaceData,
  { untrained, prompted, forgettingBefore: before }: Measured,
  between: () => Promise<void>
): Promise<RunResult> {
  let { validation, test } = prompted ?? untrained
  let forgetting: Forgetting = { before, after: before, adapterOff: before }
  if (run.trains) {
    const started = performance.now()
    let waited = 0
    const clocked = async (): Promise<void> => {
      const stopped = performance.now()
      await between()
      waited += performance.now() - stopped
    }
    const tuned = tunedAdaptation(run.recipe.parts, run.bestTensors, decoder.config)
    try {
      const options = { adaptation: tuned.adaptation, writes: true, between: clocked }
      validation = await evaluateTask(decoder, data.validation, options)
      test = await evaluateTask(decoder, data.test, options)
      forgetting = await measureForgetting(run, decoder, data, before, tuned.adaptation, clocked)
    } finally {
      tuned.dispose()
    }
    run.trainer.accounts.addEvaluation(performance.now() - started - waited)
  }
  return {
    stopReason: run.stopReason ?? 'budget',
    bestStep: run.best.step,
    forgetting,
    cost: run.cost,
    ...scoresOf(data.labels, (prompted?.splits ?? data).test, { validation, test }, untrained.test)
  }
}

type Scores<Result> = Omit<Result, 'stopReason' | 'bestStep' | 'forgetting' | 'cost'>

/** What the test split says of a model, by the kind of the task; `untrained` is the untouched model's on the same split. */
function scoresOf(
  labels: readonly string[],
  split: TaskSplit,
  { validation, test }: Untrained,
  untrained: TaskEvaluation
): Scores<ClassificationResult> | Scores<GenerationResult> {
  if (test.kind === 'generation' && validation.kind === 'generation' && untrained.kind === 'generation') {
    return { kind: 'generation', test: test.metrics, validation: validation.metrics, untrained: untrained.metrics, outputs: test.outputs }
  }
  if (
    split.kind === 'generation' ||
    test.kind !== 'classification' ||
    validation.kind !== 'classification' ||
    untrained.kind !== 'classification'
  )
    throw new Error('The splits of a task are of one kind.')
  return {
    kind: 'classification',
    labels: [...labels],
    test: test.metrics,
    validation: validation.metrics,
    untrained: untrained.metrics,
    predictions: predictionsOf(split, test)
  }
}

async function measureForgetting(
  run: RaceRun,
  decoder: Decoder,
  data: RaceData,
  before: number,
  adaptation: Adaptation,
  between: () => Promise<void>
): Promise<Forgetting> {
  const after = await natsPerToken(decoder, data.general, adaptation, between)
  const changing = run.recipe.parts.filter(({ method }) => getMethod(method).changesBase)
  // Taken off, an adapter leaves the base as it was; changed weights are all there is, and stay.
  if (changing.length === 0) return { before, after, adapterOff: before }
  const trained = run.recipe.parts.filter(({ method }) => getMethod(method).trains)
  if (changing.length === trained.length) return { before, after, adapterOff: after }
  const changed = tunedAdaptation(changing, run.bestTensors, decoder.config)
  try {
    return { before, after, adapterOff: await natsPerToken(decoder, data.general, changed.adaptation, between) }
  } finally {
    changed.dispose()
  }
}

function predictionsOf(split: Split, { probabilities }: Evaluation): Prediction[] {
  return probabilities.map((row, i) => ({
    text: split.texts[i]!,
    label: split.labels[i]!,
    predicted: row.indexOf(Math.max(...row)),
    probabilities: row
  }))
}

/** `forwardWork` of scoring a split. */
export function splitWork(config: DecoderConfig, split: TaskSplit): number {
  const batches =
    split.kind === 'generation'
      ? split.batches.map((batch) => ({ batch, labels: batch.labelIds.length }))
      : split.batches.map(({ batch, tokens }) => ({ batch, labels: tokens.length }))
  return batches.reduce((sum, { batch, labels }) => sum + forwardWork(config, batch.size * batch.time, labels), 0)
}

/** `forwardWork` of writing the answers of a split, each to its longest; none where labels are scored. */
function writingWork(config: DecoderConfig, split: TaskSplit): number {
  if (split.kind !== 'generation') return 0
  return split.groups.reduce((sum, group) => {
    const prompts = group.length * Math.max(...group.map((i) => split.prompts[i]!.length))
    return sum + forwardWork(config, prompts, group.length) + split.maximumTokens * forwardWork(config, group.length, group.length)
  }, 0)
}

/** `forwardWork` of measuring forgetting once. */
export function generalWork(config: DecoderConfig, { general }: RaceData): number {
  return general.reduce((sum, { size, time, labelIds }) => sum + forwardWork(config, size * time, labelIds.length), 0)
}

/** `forwardWork` of `askUntouched`. */
export function untouchedWork(config: DecoderConfig, { validation, test }: Prompted): number {
  return askingWork(config, test) + (validation.kind === 'generation' ? askingWork(config, validation) : 0)
}

/** `forwardWork` of `evaluateRun` for a run that trains. */
export function closingWork(config: DecoderConfig, data: RaceData): number {
  return askingWork(config, data.validation) + askingWork(config, data.test) + generalWork(config, data)
}

const askingWork = (config: DecoderConfig, split: TaskSplit): number => splitWork(config, split) + writingWork(config, split)
