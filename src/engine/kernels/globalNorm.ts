// The length of all gradients together, for clipping.
import * as tf from '@tensorflow/tfjs'
import { globalNormFused } from './webgpu/globalNorm'
import { isWebGpu } from './webgpu/run'

/** The square root of the sum of all squares of all tensors, as a float32 scalar that stays on the device. */
export function globalNorm(tensors: readonly tf.Tensor[]): tf.Scalar {
  return isWebGpu() ? globalNormFused(tensors) : globalNormComposed(tensors)
}

/** The form in TensorFlow.js operations, for every backend. */
export function globalNormComposed(tensors: readonly tf.Tensor[]): tf.Scalar {
  const squares = tensors.map((tensor) => tf.sum<tf.Scalar>(tf.square(tensor)))
  return tf.sqrt(tf.sum(tf.stack(squares)))
}
