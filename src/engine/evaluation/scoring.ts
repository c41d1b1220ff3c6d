// Label words scored by their whole token sequence: from log-probabilities to scores, probabilities and the loss.
import type { Batch } from '../model/batch'

/**
 * A batch and what to read from it. With `logProbabilities` the log-softmax of the logits at `batch.labelRows` (`[labelRows, vocabulary]`),
 * the values asked for are `logProbabilities[positions[k], tokens[k]]`; `addScores` sums them by example and label.
 */
export interface ScoringBatch {
  batch: Batch
  /** `[k]` indices into `batch.labelRows`. */
  positions: Int32Array
  /** `[k]` token ids. */
  tokens: Int32Array
  /** `[k]` whose score each value belongs to. */
  examples: Int32Array
  /** `[k]` which label's. */
  labels: Int32Array
}

/** The batch whose label rows ask for exactly the scoring batch's values, in their order; a position is asked once for each label read there. */
export function scoredBatch({ batch, positions, tokens }: ScoringBatch): Batch {
  return {
    ...batch,
    labelRows: positions.map((position) => batch.labelRows[position]!),
    labelIds: tokens,
    labelWeights: new Float32Array(tokens.length).fill(1 / tokens.length)
  }
}

/** Adds a batch's values (`[k]`, nats) to `scores[example][label]`, which begin as zeros. */
export function addScores(scores: number[][], { examples, labels }: ScoringBatch, values: ArrayLike<number>): void {
  for (let k = 0; k < examples.length; k++) scores[examples[k]!]![labels[k]!]! += values[k]!
}

/** Scores of no batch yet: `[examples][labels]` zeros. */
export function emptyScores(examples: number, labels: number): number[][] {
  return Array.from({ length: examples }, () => new Array<number>(labels).fill(0))
}

/** The labels' probabilities among themselves: the softmax of each example's scores (nats). */
export function labelProbabilities(scores: readonly (readonly number[])[]): number[][] {
  return scores.map((row) => {
    const highest = Math.max(...row)
    const weights = row.map((score) => Math.exp(score - highest))
    const sum = weights.reduce((total, weight) => total + weight, 0)
    return weights.map((weight) => weight / sum)
  })
}

/**
 * Mean nats per answer token of the true labels: the loss that training lowers, from the scores.
 * @param labels the true label of each row of `scores`
 * @param words by label, its word's token ids
 */
export function scoresLoss(
  scores: readonly (readonly number[])[],
  labels: readonly number[],
  words: readonly (readonly number[])[]
): number {
  let nats = 0
  let tokens = 0
  labels.forEach((label, example) => {
    nats -= scores[example]![label]!
    tokens += words[label]!.length
  })
  return nats / tokens
}
