// Which validation of a run is its best: the tensors there are kept and tested.
import type { LabelEvaluation } from '../evaluation/taskEvaluation'
import type { CheckpointState } from './checkpoint'

/** Before the first validation, which any result beats. */
export const NOTHING_YET = { step: 0, f1Macro: -1, loss: Infinity, validationsWithoutGain: 0 }

/** What a validation says of a run: whether it is better than all before, and whether its tensors are to be kept. */
export interface Judgement {
  gained: boolean
  isGood: boolean
  /** The highest so far. */
  f1Macro?: number
}

/**
 * The best is the latest whose macro F1 lies within one standard error of the highest. On a split this small a single highest value is luck (reviews,
 * three seeds: test accuracy 0.69 at the highest, 0.70 at the last), and the loss alone would choose too early, since overconfidence raises it while
 * the answers still get better.
 */
export function judgeLabels({ loss, metrics }: LabelEvaluation, best: CheckpointState['best']): Judgement {
  const { f1Macro: before = NOTHING_YET.f1Macro } = best
  const f1 = metrics.macro.f1
  const highest = Math.max(f1, before)
  const standardError = Math.sqrt((highest * (1 - highest)) / metrics.examples)
  return { gained: f1 > before || (f1 === before && loss < best.loss), isGood: f1 >= highest - standardError, f1Macro: highest }
}

/** Where answers are written the best is the lowest loss, hence the lowest perplexity: it is a mean over hundreds of tokens, and chance moves it little. */
export const judgeLoss = (loss: number, before: number): Judgement => ({ gained: loss < before, isGood: loss <= before })
