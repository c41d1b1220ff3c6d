// Prompt ensembles (Lester et al. 2021, section 6): several soft prompts over one frozen model, all of them asked in one batch.
import * as tf from '@tensorflow/tfjs'
import { assertDeviceHealthy } from '../device/start'
import { UserError } from '../errors'
import { gatherRows } from '../kernels/gatherRows'
import { labelLogProbabilities } from '../kernels/labelLoss'
import type { FrozenMatrix } from '../kernels/packed'
import type { Batch } from '../model/batch'
import type { Decoder } from '../model/decoder'
import { nextTask } from '../nextTask'
import { NotFiniteError, type Split } from './evaluate'
import { classificationMetrics, type ClassificationMetrics } from './metrics'
import { addScores, emptyScores, labelProbabilities, scoredBatch } from './scoring'

/** More would make batches of a size that few devices hold. */
export const MAXIMUM_MEMBERS = 5

/** Weight of the mean probability beside whole votes: it decides between labels that have as many. */
const TIE_WEIGHT = 1e-6

/** Padded lengths are multiples of this, as those of batches are. */
const LENGTH_STEP = 16

export interface EnsembleEvaluation {
  /** Each prompt alone, in the order given. */
  members: ClassificationMetrics[]
  /** Most votes, by the mean probability where two labels have as many; its probabilities are shares of votes. */
  vote: ClassificationMetrics
  /** The highest mean probability. */
  mean: ClassificationMetrics
}

/**
 * Scores every label for every example with every prompt: rows of a batch are texts times prompts, whose lengths may differ.
 * @param prompts `[virtualTokens, hidden]` float32 each, 2 to 5
 * @param between awaited between batches
 * @throws UserError where there are too few or too many prompts, or a prompt and a text are longer than the model reads
 * @throws NotFiniteError where a score is not a finite number
 */
export async function evaluateEnsemble(
  decoder: Decoder,
  split: Split,
  prompts: readonly tf.Tensor2D[],
  between: () => Promise<void> = nextTask
): Promise<EnsembleEvaluation> {
  if (prompts.length < 2 || prompts.length > MAXIMUM_MEMBERS) {
    throw new UserError(`An ensemble of ${prompts.length} prompts cannot be asked.`, `Choose 2 to ${MAXIMUM_MEMBERS} of them.`)
  }
  const scores = prompts.map(() => emptyScores(split.labels.length, split.words.length))
  for (const scoring of split.batches) {
    const batch = scoredBatch(scoring)
    const values = tf.tidy(() => ensembleLogProbabilities(decoder, batch, prompts))
    try {
      const data = await values.data()
      const each = batch.labelIds.length
      scores.forEach((own, member) => addScores(own, scoring, data.subarray(member * each, (member + 1) * each)))
    } finally {
      values.dispose()
    }
    assertDeviceHealthy()
    await between()
  }
  if (!scores.flat(2).every(Number.isFinite)) throw new NotFiniteError()
  const probabilities = scores.map(labelProbabilities)
  const metricsOf = (rows: number[][]): ClassificationMetrics => classificationMetrics(split.labels, rows)
  return {
    members: probabilities.map(metricsOf),
    vote: metricsOf(voted(probabilities)),
    mean: metricsOf(meanProbabilities(probabilities))
  }
}

/** `[members][examples][labels]` to the mean over the members. */
export function meanProbabilities(members: readonly number[][][]): number[][] {
  return members[0]!.map((row, example) =>
    row.map((_, label) => members.reduce((sum, member) => sum + member[example]![label]!, 0) / members.length)
  )
}

/** `[members][examples][labels]` to shares of votes; labels with as many votes are told apart by the mean probability. */
export function voted(members: readonly number[][][]): number[][] {
  return meanProbabilities(members).map((mean, example) => {
    const votes = new Array<number>(mean.length).fill(0)
    for (const member of members) {
      const row = member[example]!
      votes[row.indexOf(Math.max(...row))]!++
    }
    return votes.map((count, label) => (count + TIE_WEIGHT * mean[label]!) / (members.length + TIE_WEIGHT))
  })
}

/** `log p(labelId)` of each label row behind each prompt, `[prompts * labelRows]` float32: all of the first prompt, then all of the next. */
function ensembleLogProbabilities(decoder: Decoder, batch: Batch, prompts: readonly tf.Tensor2D[]): tf.Tensor1D {
  const layout = ensembleLayout(
    batch,
    prompts.map(({ shape }) => shape[0])
  )
  const table = tf.concat2d([...prompts, decoder.embed(batch.inputIds, {})], 0)
  const hidden = decoder.run(gatherRows(table, layout.sources), {
    batch: prompts.length * batch.size,
    time: layout.time,
    offset: 0,
    lengths: layout.lengths,
    adaptation: {},
    rows: layout.labelRows
  })
  const targets = Int32Array.from({ length: layout.labelRows.length }, (_, i) => batch.labelIds[i % batch.labelIds.length]!)
  return labelLogProbabilities({ hidden, table: decoder.frozen(decoder.layout.head) as FrozenMatrix, targets })
}

interface EnsembleLayout {
  /** Padded length of every row. */
  time: number
  /** `[prompts * size * time]`: where each embedding comes from, among all virtual tokens, prompt by prompt, and then the batch's tokens. */
  sources: Int32Array
  /** `[prompts * size]` real tokens of each row, virtual ones included. */
  lengths: Int32Array
  /** `[prompts * labelRows]` flat. */
  labelRows: Int32Array
}

/** Rows of texts times prompts: each prompt of its own length, right in front of its text, with the padding behind. */
export function ensembleLayout(batch: Batch, promptLengths: readonly number[]): EnsembleLayout {
  const time = Math.ceil((Math.max(...promptLengths) + batch.time) / LENGTH_STEP) * LENGTH_STEP
  const rows = promptLengths.length * batch.size
  const sources = new Int32Array(rows * time)
  const lengths = new Int32Array(rows)
  const labelRows = new Int32Array(promptLengths.length * batch.labelRows.length)
  const virtualTokens = promptLengths.reduce((sum, length) => sum + length, 0)
  let first = 0
  promptLengths.forEach((length, prompt) => {
    for (let row = 0; row < batch.size; row++) {
      const target = (prompt * batch.size + row) * time
      const text = virtualTokens + row * batch.time
      for (let i = 0; i < time; i++) {
        // Behind the text stands its last place again: it is never read.
        sources[target + i] = i < length ? first + i : text + Math.min(i - length, batch.time - 1)
      }
      lengths[prompt * batch.size + row] = length + batch.lengths[row]!
    }
    batch.labelRows.forEach((at, i) => {
      const row = prompt * batch.size + Math.floor(at / batch.time)
      labelRows[prompt * batch.labelRows.length + i] = row * time + length + (at % batch.time)
    })
    first += length
  })
  return { time, sources, lengths, labelRows }
}
