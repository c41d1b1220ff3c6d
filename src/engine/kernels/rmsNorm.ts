// Root-mean-square normalisation (Zhang and Sennrich 2019).
import * as tf from '@tensorflow/tfjs'
import { rmsNormFused } from './webgpu/rmsNorm'
import { isWebGpu } from './webgpu/run'

/** `x / sqrt(mean(x^2) + epsilon) * weight` by row. `x` `[rows, hidden]`, `weight` `[hidden]`, float32; same shape out. */
export function rmsNorm(x: tf.Tensor2D, weight: tf.Tensor1D, epsilon: number): tf.Tensor2D {
  return isWebGpu() ? rmsNormFused(x, weight, epsilon) : rmsNormComposed(x, weight, epsilon)
}

/** The form in TensorFlow.js operations, for every backend. */
export function rmsNormComposed(x: tf.Tensor2D, weight: tf.Tensor1D, epsilon: number): tf.Tensor2D {
  const meanSquare = tf.mean(tf.square(x), 1, true)
  return tf.mul(tf.mul(x, tf.rsqrt(tf.add(meanSquare, epsilon))), weight)
}
