// Scores every label of a task for every example: which rows to run, and where in them each label's log-probability stands.
import type { Batch } from '../engine/model/batch'
import { createBatch, groupByLength, type TokenRow } from './batches'

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

interface CandidateRow extends TokenRow {
  example: number
  labels: number[]
}

/**
 * Batches that score whole label words. A word of n tokens needs the predictions behind the prompt and behind each of its first n - 1 tokens;
 * words with the same beginning share a row. So where every word is one token, which is usual, there is one row an example and not one a label.
 * @param prompts encoded prompts, in the order of the scores' rows
 * @param words token ids by label (`encodeLabelWords`)
 */
export function scoringBatches(
  prompts: readonly { promptIds: readonly number[] }[],
  words: readonly (readonly number[])[],
  options: { batchSize: number; padToken: number }
): ScoringBatch[] {
  const candidates = sharedRows(words)
  const rows: CandidateRow[] = prompts.flatMap(({ promptIds }, example) =>
    candidates.map(({ answerIds, labels }) => ({ promptIds, answerIds, labels, example }))
  )
  return groupByLength(rows, options.batchSize).map((group) =>
    scoringBatch(
      group.map((i) => rows[i] as CandidateRow),
      words,
      options.padToken
    )
  )
}

/** Adds a batch's values (`[k]`, nats) to `scores[example][label]`, which begin as zeros. */
export function addScores(scores: number[][], { examples, labels }: ScoringBatch, values: ArrayLike<number>): void {
  for (let k = 0; k < examples.length; k++) {
    const row = scores[examples[k] as number] as number[]
    const label = labels[k] as number
    row[label] = (row[label] as number) + (values[k] as number)
  }
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
 */
export function scoresLoss(
  scores: readonly (readonly number[])[],
  labels: readonly number[],
  words: readonly (readonly number[])[]
): number {
  let nats = 0
  let tokens = 0
  labels.forEach((label, example) => {
    nats -= scores[example]?.[label] as number
    tokens += (words[label] as readonly number[]).length
  })
  return nats / tokens
}

/** The fewest rows that hold every word's predictions, and the labels read from each. A row's last token is only a placeholder: it is not read in. */
function sharedRows(words: readonly (readonly number[])[]): { answerIds: readonly number[]; labels: number[] }[] {
  const rows: { answerIds: readonly number[]; labels: number[] }[] = []
  const longestFirst = words.map((_, label) => label).sort((a, b) => (words[b] as number[]).length - (words[a] as number[]).length || a - b)
  for (const label of longestFirst) {
    const word = words[label] as readonly number[]
    const shared = rows.find(({ answerIds }) => word.slice(0, -1).every((id, i) => answerIds[i] === id))
    if (shared) shared.labels.push(label)
    else rows.push({ answerIds: word, labels: [label] })
  }
  return rows
}

function scoringBatch(rows: CandidateRow[], words: readonly (readonly number[])[], padToken: number): ScoringBatch {
  const reads: { position: number; token: number; example: number; label: number }[] = []
  let first = 0
  for (const { answerIds, labels, example } of rows) {
    for (const label of labels) {
      ;(words[label] as readonly number[]).forEach((token, i) => reads.push({ position: first + i, token, example, label }))
    }
    first += answerIds.length
  }
  return {
    batch: createBatch(rows, padToken),
    positions: Int32Array.from(reads, (read) => read.position),
    tokens: Int32Array.from(reads, (read) => read.token),
    examples: Int32Array.from(reads, (read) => read.example),
    labels: Int32Array.from(reads, (read) => read.label)
  }
}
