// Layer normalisation (Ba 2016).
import * as tf from '@tensorflow/tfjs'
import { layerNormFused } from './webgpu/layerNorm'
import { isWebGpu } from './webgpu/run'

/** `(x - mean) / sqrt(variance + epsilon) * weight + bias` by row. `x` `[rows, hidden]`, others `[hidden]`, float32; same shape out. */
export function layerNorm(x: tf.Tensor2D, weight: tf.Tensor1D, bias: tf.Tensor1D, epsilon: number): tf.Tensor2D {
  return isWebGpu() ? layerNormFused(x, weight, bias, epsilon) : layerNormComposed(x, weight, bias, epsilon)
}

/** The form in TensorFlow.js operations, for every backend. */
export function layerNormComposed(x: tf.Tensor2D, weight: tf.Tensor1D, bias: tf.Tensor1D, epsilon: number): tf.Tensor2D {
  const centred = tf.sub(x, tf.mean(x, 1, true))
  const variance = tf.mean(tf.square(centred), 1, true)
  return tf.add(tf.mul(tf.mul(centred, tf.rsqrt(tf.add(variance, epsilon))), weight), bias)
}
