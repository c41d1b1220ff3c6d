// Causal self-attention with lengths, grouped heads, a key-value prefix and a local window.
import type * as tf from '@tensorflow/tfjs'

export interface AttentionInputs {
  /** `[batch * queryTime, heads * headSize]` float32, already rotated. */
  query: tf.Tensor2D
  /** `[batch * keyTime, keyValueHeads * headSize]` float32, already rotated. */
  key: tf.Tensor2D
  value: tf.Tensor2D
  /** `[prefix, keyValueHeads * headSize]` float32 in front of every row's keys, seen by every query (Li and Liang 2021). */
  prefix?: { key: tf.Tensor2D; value: tf.Tensor2D }
  /** `[batch]` int32 on the host: real keys in each row, prefix not counted; later ones are never seen. */
  lengths: Int32Array
  batch: number
  /** Query i of a row stands at position `keyTime - queryTime + i` and sees keys up to there: 1 in generation, else `keyTime`. */
  queryTime: number
  keyTime: number
  heads: number
  keyValueHeads: number
  headSize: number
  scale: number
  /** How many tokens back a query sees, itself included; undefined is all. The prefix is always seen. */
  window?: number
}
