// Hidden states where the answers begin, read once for a whole split, and how well a label head answers from them.
import * as tf from '@tensorflow/tfjs'
import { assertDeviceHealthy } from '../device/start'
import type { Adaptation } from '../methods/method'
import type { Decoder } from '../model/decoder'
import { nextTask } from '../nextTask'
import { median } from '../training/accounts'
import { forwardWork } from '../training/eta'
import type { Split } from './evaluate'
import type { ScoringBatch } from './scoring'

/** `[examples, hidden]` float32, in host memory. */
export interface Features {
  width: number
  values: Float32Array
  milliseconds: number
  /** Median over the batches per unit of `forwardWork`. */
  millisecondsPerWork: number
}

/** What reading one batch took. */
export interface FeatureBatch {
  size: number
  time: number
  /** Real tokens. */
  tokens: number
  milliseconds: number
}

/**
 * The features of all examples of a split, whose batches are always the same, so that the numbers are too. Between batches it waits for `between`;
 * `onBatch` is told what each took.
 * @throws UserError where the device failed
 */
export async function readFeatures(
  decoder: Decoder,
  { labels, batches }: Pick<Split, 'labels' | 'batches'>,
  adaptation: Adaptation,
  between: () => Promise<void> = nextTask,
  onBatch: (batch: FeatureBatch) => void = () => undefined
): Promise<Features> {
  const width = decoder.config.hiddenSize
  const values = new Float32Array(labels.length * width)
  const read = new Set<number>()
  const rates: number[] = []
  let milliseconds = 0
  for (const { batch, ...scoring } of batches) {
    const { rows, examples } = promptEnds({ batch, ...scoring }, read)
    // Where a label word has several tokens, an example has several rows, and one is enough.
    if (examples.length === 0) continue
    const started = performance.now()
    const hidden = decoder.hiddenStates({ ...batch, labelRows: Int32Array.from(rows) }, adaptation)
    try {
      const data = await hidden.data()
      examples.forEach((example, i) => values.set(data.subarray(i * width, (i + 1) * width), example * width))
    } finally {
      hidden.dispose()
    }
    assertDeviceHealthy()
    const taken = performance.now() - started
    milliseconds += taken
    rates.push(taken / forwardWork(decoder.config, batch.size * batch.time, 0))
    const tokens = batch.lengths.reduce((sum, length) => sum + length, 0)
    onBatch({ size: batch.size, time: batch.time, tokens, milliseconds: taken })
    await between()
  }
  return { width, values, milliseconds, millisecondsPerWork: median(rates) }
}

/** The rows behind which the answers of examples begin that were not read yet; notes them in `read`. */
function promptEnds({ batch, positions, examples }: ScoringBatch, read: Set<number>): { rows: number[]; examples: number[] } {
  const found: { rows: number[]; examples: number[] } = { rows: [], examples: [] }
  examples.forEach((example, k) => {
    if (read.has(example)) return
    read.add(example)
    // The first value of an example is that of a word's first token.
    found.rows.push(batch.labelRows[positions[k]!]!)
    found.examples.push(example)
  })
  return found
}

/** The features of chosen examples, `[examples.length, hidden]`. The caller disposes them. */
export function featuresOf({ width, values }: Features, examples: ArrayLike<number>): tf.Tensor2D {
  const chosen = new Float32Array(examples.length * width)
  Array.from(examples).forEach((example, i) => chosen.set(values.subarray(example * width, (example + 1) * width), i * width))
  return tf.tensor2d(chosen, [examples.length, width])
}

/** `log p(label)` among the labels by a label head, `[examples][labels]` in nats. */
export async function headScores({ width, values }: Features, labelScores: NonNullable<Adaptation['labelScores']>): Promise<number[][]> {
  const scores = tf.tidy(() => tf.logSoftmax(labelScores(tf.tensor2d(values, [values.length / width, width]))))
  try {
    return (await scores.array()) as number[][]
  } finally {
    scores.dispose()
  }
}
