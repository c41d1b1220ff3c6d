// Scores every label of a task for every example: which rows to run, and where in them each label's log-probability stands.
import type { ScoringBatch } from '../engine/evaluation/scoring'
import { createBatch, groupByLength, type TokenRow } from './batches'

/** Examples in one forward pass of an evaluation: enough to keep a device busy, few enough for the composed forms' memory. */
export const EVALUATION_BATCH_SIZE = 32

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
