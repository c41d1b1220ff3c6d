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
}

/**
 * Turns the first `dimensions` of each head by its position's angles. `x` `[batch * time, heads * headSize]` float32; same shape out.
 * The table must reach `offset + time` positions.
 */
export function rotary(x: tf.Tensor2D, table: RotaryTable, shape: RotaryShape): tf.Tensor2D {
  return isWebGpu() ? rotaryFused(x, table, shape) : rotaryComposed(x, table, shape)
}

/** The form in TensorFlow.js operations, for every backend. */
export function rotaryComposed(x: tf.Tensor2D, table: RotaryTable, shape: RotaryShape): tf.Tensor2D {
  const { batch, time, heads, headSize, dimensions, offset } = shape
  const half = dimensions / 2
  const cosine = tf.reshape(tf.slice(table.cosine, [offset, 0], [time, half]), [1, time, 1, half])
  const sine = tf.reshape(tf.slice(table.sine, [offset, 0], [time, half]), [1, time, 1, half])
  const split = tf.reshape(x, [batch, time, heads, headSize])
  const first = tf.slice(split, [0, 0, 0, 0], [-1, -1, -1, half])
  const second = tf.slice(split, [0, 0, 0, half], [-1, -1, -1, half])
  const turned = [tf.sub(tf.mul(first, cosine), tf.mul(second, sine)), tf.add(tf.mul(second, cosine), tf.mul(first, sine))]
  if (dimensions < headSize) turned.push(tf.slice(split, [0, 0, 0, dimensions], [-1, -1, -1, headSize - dimensions]))
  return tf.reshape(tf.concat(turned, 3), [batch * time, heads * headSize])
}
