// What a race needs of its task: encoded once, the same for every run.
import type { Split } from '../evaluation/evaluate'
import type { TaskSplit } from '../evaluation/taskEvaluation'
import type { Batch } from '../model/batch'
import type { RandomState } from '../random'
import type { Recipe } from './recipe'

/** Where a sequence of training batches stands. */
export interface BatchSequenceState {
  epoch: number
  position: number
  epochRandom: RandomState
}

/** Training batches without end. */
export interface BatchSequence {
  next(): Batch
  /** From which the same sequence goes on. */
  readonly state: BatchSequenceState
}

export interface RaceData {
  /** Names of the labels; none where answers are written. */
  labels: readonly string[]
  /** Their words, as templates insert them. */
  labelWords: readonly string[]
  /** The same sequence for the same seed and batch size, whichever run asks. */
  trainingBatches(batchSize: number, seedOrState: number | BatchSequenceState): BatchSequence
  /** The training examples as a split, in their order: what features are read from. Throws a `UserError` where there are no labels. */
  training(): Split
  validation: TaskSplit
  test: TaskSplit
  /** The splits as a hand-written prompt of the recipe's own asks them; undefined where it is the task's. Throws a `UserError` where it cannot be used. */
  ownPrompt?(recipe: Recipe): { validation: TaskSplit; test: TaskSplit } | undefined
  /** Held-out general prose, every real token to be predicted. */
  general: readonly Batch[]
  /** Token ids of a text, without special tokens. */
  encode(text: string): number[]
}
