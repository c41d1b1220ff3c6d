// y = x W (+ bias) (+ residual): every matrix product with a weight goes through here.
import * as tf from '@tensorflow/tfjs'
import { unpacked, type FrozenMatrix } from './packed'
import { linearFused } from './webgpu/linear'
import { isWebGpu } from './webgpu/run'

/** `outIn` is PyTorch's Linear, `[out, in]`; `inOut` is GPT-2's Conv1D, `[in, out]`. */
export type WeightLayout = 'outIn' | 'inOut'

export interface LinearInputs {
  /** `[rows, in]` float32. */
  x: tf.Tensor2D
  /** `[out, in]` or `[in, out]` by `layout`: float32, or packed where it is frozen. */
  weight: FrozenMatrix
  layout?: WeightLayout
  /** `[out]` float32. */
  bias?: tf.Tensor1D
  /** `[rows, out]` float32, added to the result. */
  residual?: tf.Tensor2D
}

/** A linear layer. Returns `[rows, out]` float32. Differentiable in x, bias, residual, and in a weight that is not packed. */
export function linear(inputs: LinearInputs): tf.Tensor2D {
  return isWebGpu() ? linearFused(inputs) : linearComposed(inputs)
}

/** The form in TensorFlow.js operations, for every backend. */
export function linearComposed({ x, weight, layout = 'outIn', bias, residual }: LinearInputs): tf.Tensor2D {
  let y: tf.Tensor2D = tf.matMul(x, unpacked(weight), false, layout === 'outIn')
  if (bias) y = tf.add(y, bias)
  if (residual) y = tf.add(y, residual)
  return y
}
