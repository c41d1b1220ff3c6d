// A low-rank correction beside a linear layer: scale * (x down^T) up^T, as LoRA trains it (Hu et al. 2021).
import * as tf from '@tensorflow/tfjs'
import { linear } from './linear'

export interface LowRank {
  /** `[rank, in]` float32, called A in the paper. */
  down: tf.Tensor2D
  /** `[out, rank]` float32, called B. */
  up: tf.Tensor2D
  scale: number
  /** What the correction reads in place of the layer's input, `[rows, in]` (LoRA's dropout). */
  reads?(x: tf.Tensor2D): tf.Tensor2D
}

/** `y + scale * (x down^T) up^T`, `[rows, out]`: a correction as products of their own. */
export function addLowRank(x: tf.Tensor2D, y: tf.Tensor2D, { down, up, scale, reads }: LowRank): tf.Tensor2D {
  return linear({ x: tf.mul(linear({ x: reads?.(x) ?? x, weight: down }), scale), weight: up, residual: y })
}
