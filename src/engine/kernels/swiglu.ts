// The gated activation of Llama's feed-forward layer (Shazeer 2020).
import * as tf from '@tensorflow/tfjs'
import { isWebGpu } from './webgpu/run'
import { swigluFused } from './webgpu/swiglu'

/** `gate * sigmoid(gate) * up`. Both `[rows, intermediate]` float32; same shape out. Differentiable in both. */
export function swiglu(gate: tf.Tensor2D, up: tf.Tensor2D): tf.Tensor2D {
  return isWebGpu() ? swigluFused(gate, up) : swigluComposed(gate, up)
}

/** The form in TensorFlow.js operations, for every backend. */
export function swigluComposed(gate: tf.Tensor2D, up: tf.Tensor2D): tf.Tensor2D {
  return tf.mul(tf.mul(gate, tf.sigmoid(gate)), up)
}
