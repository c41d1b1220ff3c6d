// y = x W (+ bias) (+ residual): every matrix product with a weight goes through here.
import * as tf from '@tensorflow/tfjs'
import { linearFused } from './webgpu/linear'
import { isWebGpu } from './webgpu/run'

/** `outIn` is PyTorch's Linear, `[out, in]`; `inOut` is GPT-2's Conv1D, `[in, out]`. */
export type WeightLayout = 'outIn' | 'inOut'

export interface LinearInputs {
  /** `[rows, in]` float32. */
  x: tf.Tensor2D
  /** `[out, in]` or `[in, out]` float32, by `layout`. */
  weight: tf.Tensor2D
  layout?: WeightLayout
  /** `[out]` float32. */
  bias?: tf.Tensor1D
  /** `[rows, out]` float32, added to the result. */
  residual?: tf.Tensor2D
}

/** A linear layer. Returns `[rows, out]` float32. Differentiable in x, weight, bias and residual. */
export function linear(inputs: LinearInputs): tf.Tensor2D {
  return isWebGpu() ? linearFused(inputs) : linearComposed(inputs)
}

/** The form in TensorFlow.js operations, for every backend. */
export function linearComposed({ x, weight, layout = 'outIn', bias, residual }: LinearInputs): tf.Tensor2D {
  let y: tf.Tensor2D = tf.matMul(x, weight, false, layout === 'outIn')
  if (bias) y = tf.add(y, bias)
  if (residual) y = tf.add(y, residual)
  return y
}
