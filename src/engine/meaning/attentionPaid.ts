// Where the position that answers looks: its attention to each virtual token and to the text, layer by layer.
import * as tf from '@tensorflow/tfjs'
import { withoutShared, type AttentionInputs } from '../kernels/attention'
import type { Adaptation } from '../methods/method'
import type { Batch } from '../model/batch'
import type { Decoder, Pass } from '../model/decoder'

export interface AttentionPaid {
  /** `[layers][virtualTokens]` shares of the attention, means over heads and texts. */
  virtualTokens: number[][]
  /** `[layers]` share of the text's own tokens. */
  text: number[]
  /** `[layers]` share of a key-value prefix; zeros where there is none. With the two others it sums to 1. */
  prefix: number[]
}

/**
 * Attention that the last real token of each row pays, which is where a label is predicted. Reads and changes nothing else; computed in the composed form,
 * since the fused one never holds the weights.
 */
export async function attentionPaid(decoder: Decoder, batch: Batch, adaptation: Adaptation): Promise<AttentionPaid> {
  const weights: tf.Tensor2D[] = []
  let virtual = 0
  let front = 0
  tf.tidy(() => {
    const observe: Pass['observe'] = (layer, inputs) => {
      virtual = inputs.shared ?? 0
      front = inputs.prefix?.key.shape[0] ?? 0
      weights[layer] = tf.keep(meanWeights(withoutShared(inputs).rows))
    }
    decoder.hiddenStates({ ...batch, labelRows: lastRows(batch) }, adaptation, { observe })
  })
  try {
    const rows = await Promise.all(weights.map(async (layer) => meanRow((await layer.data()) as Float32Array, layer.shape[1])))
    const sum = (values: Float64Array): number => values.reduce((total, value) => total + value, 0)
    return {
      virtualTokens: rows.map((row) => [...row.subarray(front, front + virtual)]),
      text: rows.map((row) => sum(row.subarray(front + virtual))),
      prefix: rows.map((row) => sum(row.subarray(0, front)))
    }
  } finally {
    tf.dispose(weights)
  }
}

/** Flat places of each row's last real token. */
function lastRows({ lengths, time }: Batch): Int32Array {
  return lengths.map((length, row) => row * time + length - 1)
}

/** `softmax(scale * q k^T + mask)` of each row's last real query, mean over heads: `[batch, prefix + keyTime]`. */
export function meanWeights(inputs: AttentionInputs): tf.Tensor2D {
  const { batch, queryTime, keyTime, heads, keyValueHeads, headSize, scale, prefix, lengths, window = Infinity } = inputs
  const last = tf.tensor1d(
    lengths.map((length, row) => row * queryTime + length - 1),
    'int32'
  )
  const group = heads / keyValueHeads
  const query = tf.reshape(tf.gather(inputs.query, last), [batch * keyValueHeads, group, headSize])
  const byHead = (states: tf.Tensor2D, rows: number): tf.Tensor4D =>
    tf.transpose(tf.reshape(states, [rows, -1, keyValueHeads, headSize]), [0, 2, 1, 3])
  const own = byHead(inputs.key, batch)
  const keys = prefix ? tf.concat([tf.mul(byHead(prefix.key, 1), tf.ones([batch, 1, 1, 1])), own], 2) : own
  const front = prefix?.key.shape[0] ?? 0
  const scores = tf.matMul(query, tf.reshape(keys, [batch * keyValueHeads, front + keyTime, headSize]), false, true)
  const hidden = new Float32Array(batch * (front + keyTime))
  lengths.forEach((length, row) => {
    for (let j = -front; j < keyTime; j++) {
      if (j >= length || j <= length - 1 - window) hidden[row * (front + keyTime) + front + j] = -1e9
    }
  })
  const masked = tf.add(
    tf.mul(tf.reshape(scores, [batch, heads, front + keyTime]), scale),
    tf.tensor3d(hidden, [batch, 1, front + keyTime])
  )
  return tf.mean(tf.softmax(masked), 1)
}

/** The mean of the rows of `[rows, width]`. */
function meanRow(values: Float32Array, width: number): Float64Array {
  const mean = new Float64Array(width)
  const rows = values.length / width
  values.forEach((value, i) => (mean[i % width]! += value / rows))
  return mean
}
