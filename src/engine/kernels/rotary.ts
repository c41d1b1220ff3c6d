// Rotary position embedding (Su 2021) in the split-halves form of Llama and GPT-NeoX.
import * as tf from '@tensorflow/tfjs'
import { rotaryFused } from './webgpu/rotary'
import { isWebGpu } from './webgpu/run'

export interface RotaryTable {
  /** `[positions, dimensions / 2]` float32. */
  cosine: tf.Tensor2D
  sine: tf.Tensor2D
}

export interface RotaryShape {
  batch: number
  time: number
  heads: number
  headSize: number
  /** Leading dimensions of each head that turn; the rest pass. */
  dimensions: number
  /** Position of the first token. */
  offset: number
  /** So many of the `time` tokens are the same in every row and stand once, in front of all rows; see `AttentionInputs.shared`. */
  shared?: number
}

/**
 * Turns the first `dimensions` of each head by its position's angles: queries and keys, which stand at the same places, in one operation. Each of `states`
 * is `[batch * time, heads * headSize]` float32 (`[shared + batch * (time - shared), ...]`), with its own `heads`; same shapes out. The table must reach
 * `offset + time` positions.
 */
export function rotary(
  states: readonly tf.Tensor2D[],
  table: RotaryTable,
  shape: Omit<RotaryShape, 'heads'> & { heads: readonly number[] }
): tf.Tensor2D[] {
  if (isWebGpu()) return rotaryFused(states, table, shape)
  return states.map((x, at) => rotaryComposed(x, table, { ...shape, heads: shape.heads[at] as number }))
}

/** The form in TensorFlow.js operations, for every backend, of one tensor of states. */
export function rotaryComposed(x: tf.Tensor2D, table: RotaryTable, { shared = 0, ...shape }: RotaryShape): tf.Tensor2D {
  if (shared > 0) {
    const [front, rows] = tf.split(x, [shared, x.shape[0] - shared]) as [tf.Tensor2D, tf.Tensor2D]
    const behind = { ...shape, time: shape.time - shared, offset: shape.offset + shared }
    return tf.concat([rotaryComposed(front, table, { ...shape, batch: 1, time: shared }), rotaryComposed(rows, table, behind)], 0)
  }
  const { batch, time, heads, headSize, dimensions, offset } = shape
  const half = dimensions / 2
  // Over whole heads: the rest turns by no angle.
  const still = headSize - dimensions
  const ofHead = (angles: tf.Tensor2D, rest: tf.Tensor2D): tf.Tensor4D => {
    const own = tf.slice(angles, [offset, 0], [time, half])
    return tf.reshape(tf.concat(still > 0 ? [own, own, rest] : [own, own], 1), [1, time, 1, headSize])
  }
  const cosine = ofHead(table.cosine, tf.ones([time, still]))
  const sine = ofHead(table.sine, tf.zeros([time, still]))
  const straight = tf.reshape(x, [batch, time, heads, headSize])
  // A product with a matrix of signs swaps the halves in one operation each way; slices and their gradients would be twenty.
  const crossed = tf.reshape(tf.matMul(tf.reshape(x, [-1, headSize]), halfTurn(headSize, half)), straight.shape)
  return tf.reshape(tf.add(tf.mul(straight, cosine), tf.mul(crossed, sine)), [batch * time, heads * headSize])
}

/** `[headSize, headSize]`: takes (first half, second half, rest) to (-second half, first half, 0). */
function halfTurn(headSize: number, half: number): tf.Tensor2D {
  const signs = new Float32Array(headSize * headSize)
  for (let i = 0; i < half; i++) {
    signs[(i + half) * headSize + i] = -1
    signs[i * headSize + i + half] = 1
  }
  return tf.tensor2d(signs, [headSize, headSize])
}
