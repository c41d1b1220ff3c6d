// Several linear layers of one input: query, key and value; gate and up. One dispatch forward, one for the input's gradient, one for the weights'.
import type * as tf from '@tensorflow/tfjs'
import { linear } from './linear'
import type { FrozenMatrix } from './packed'
import { linearGroupFused, canGroup } from './webgpu/linearGroup'
import { isWebGpu } from './webgpu/run'

export interface LinearGroupInputs {
  /** `[rows, in]` float32. */
  x: tf.Tensor2D
  /** Each `[out, in]`, float32 or packed; `out` may differ. */
  weights: readonly FrozenMatrix[]
  /** `[out]` float32 for each weight, or for none. */
  biases?: readonly tf.Tensor1D[]
}

/** `linear` of `x` with each weight in PyTorch's layout: `[rows, out]` float32 by weight. Differentiable as `linear` is. */
export function linearGroup(inputs: LinearGroupInputs): tf.Tensor2D[] {
  if (isWebGpu() && canGroup(inputs)) return linearGroupFused(inputs)
  const { x, weights, biases } = inputs
  return weights.map((weight, at) => linear({ x, weight, bias: biases?.[at] }))
}
