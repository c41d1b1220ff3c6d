// What is measured when a run has taken its last step: its answers at the best checkpoint, and what it forgot.
import { evaluate, type Evaluation, type Split } from '../evaluation/evaluate'
import { natsPerToken } from '../evaluation/forgetting'
import type { Adaptation } from '../methods/method'
import { getMethod } from '../methods/registry'
import { tunedAdaptation } from '../methods/tuned'
import type { DecoderConfig } from '../model/config'
import type { Decoder } from '../model/decoder'
import type { RaceData } from './data'
import { forwardWork } from './eta'
import type { Forgetting, Prediction, RunResult } from './records'
import type { RaceRun } from './run'

/** The untouched model with the task's prompt: measured once, the same for every run of a race. */
export interface Untrained {
  validation: Evaluation
  test: Evaluation
}

/** The splits as one prompt asks them. */
export type Prompted = Pick<RaceData, 'validation' | 'test'>

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
      validation = await evaluate(decoder, data.validation, tuned.adaptation, clocked)
      test = await evaluate(decoder, data.test, tuned.adaptation, clocked)
      forgetting = await measureForgetting(run, decoder, data, before, tuned.adaptation, clocked)
    } finally {
      tuned.dispose()
    }
    run.trainer.accounts.addEvaluation(performance.now() - started - waited)
  }
  return {
    stopReason: run.stopReason ?? 'budget',
    bestStep: run.best.step,
    labels: [...data.labels],
    test: test.metrics,
    validation: validation.metrics,
    untrained: untrained.test.metrics,
    forgetting,
    cost: run.cost,
    predictions: predictionsOf((prompted?.splits ?? data).test, test)
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
export function splitWork(config: DecoderConfig, split: Split): number {
  return split.batches.reduce((sum, { batch, tokens }) => sum + forwardWork(config, batch.size * batch.time, tokens.length), 0)
}

/** `forwardWork` of measuring forgetting once. */
export function generalWork(config: DecoderConfig, { general }: RaceData): number {
  return general.reduce((sum, { size, time, labelIds }) => sum + forwardWork(config, size * time, labelIds.length), 0)
}

/** `forwardWork` of `evaluateRun` for a run that trains. */
export function closingWork(config: DecoderConfig, data: RaceData): number {
  return splitWork(config, data.validation) + splitWork(config, data.test) + generalWork(config, data)
}
