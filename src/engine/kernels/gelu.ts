// The Gaussian error linear unit (Hendrycks and Gimpel 2016), exact and in its tanh approximation.
import * as tf from '@tensorflow/tfjs'
import { geluFused } from './webgpu/gelu'
import { isWebGpu } from './webgpu/run'

/** `erf` is PyTorch's `gelu`, `tanh` is Hugging Face's `gelu_new`. */
export type GeluForm = 'erf' | 'tanh'

/** `x * Phi(x)`. `x` `[rows, intermediate]` float32; same shape out. Differentiable. */
export function gelu(x: tf.Tensor2D, form: GeluForm): tf.Tensor2D {
  return isWebGpu() ? geluFused(x, form) : geluComposed(x, form)
}

/** The form in TensorFlow.js operations, for every backend. */
export function geluComposed(x: tf.Tensor2D, form: GeluForm): tf.Tensor2D {
  const bent =
    form === 'erf'
      ? tf.erf(tf.mul(x, Math.SQRT1_2))
      : tf.tanh(tf.mul(tf.mul(x, tf.add(tf.mul(tf.square(x), 0.044715), 1)), Math.sqrt(2 / Math.PI)))
  return tf.mul(tf.mul(x, 0.5), tf.add(bent, 1))
}
