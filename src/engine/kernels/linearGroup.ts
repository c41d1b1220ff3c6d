// Several linear layers of one input: query, key and value; gate and up. One dispatch forward, one for the input's gradient, one for the weights'.
import type * as tf from '@tensorflow/tfjs'
import { linear, type WeightLayout } from './linear'
import { addLowRank, type LowRank } from './lowRank'
import type { FrozenMatrix } from './packed'
import { linearGroupFused, canGroup } from './webgpu/linearGroup'
import { isWebGpu } from './webgpu/run'

export interface LinearGroupInputs {
  /** `[rows, in]` float32. */
  x: tf.Tensor2D
  /** Each `[out, in]`, float32 or packed; `out` may differ. A single one may also lie `[in, out]`, see `layout`. */
  weights: readonly FrozenMatrix[]
  layout?: WeightLayout
  /** `[out]` float32 for each weight, or for none. */
  biases?: readonly tf.Tensor1D[]
  /** `[rows, out]` float32, added to the result of a single layer. */
  residual?: tf.Tensor2D
  /** What is added beside each layer. */
  lowRanks?: readonly (LowRank | undefined)[]
}

/** `linear` of `x` with each weight, and what is added beside it: `[rows, out]` float32 by weight. Differentiable as `linear` is, and in the corrections. */
export function linearGroup(inputs: LinearGroupInputs): tf.Tensor2D[] {
  const { x, weights, layout, biases, residual, lowRanks = [] } = inputs
  if (isWebGpu() && canGroup(inputs)) return linearGroupFused(inputs)
  const outputs = lowRanks.some((lowRank) => lowRank)
    ? linearGroup({ ...inputs, lowRanks: undefined })
    : weights.map((weight, at) => linear({ x, weight, layout, bias: biases?.[at], residual }))
  return outputs.map((y, at) => {
    const lowRank = lowRanks[at]
    return lowRank ? addLowRank(x, y, lowRank) : y
  })
}
