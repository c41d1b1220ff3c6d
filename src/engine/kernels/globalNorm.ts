// The length of all gradients together, and what clipping by it makes of them (Pascanu 2013).
import * as tf from '@tensorflow/tfjs'

/** The square root of the sum of all squares of all tensors, a float32 scalar: the form in TensorFlow.js operations, for every backend. */
export function globalNormComposed(tensors: readonly tf.Tensor[]): tf.Scalar {
  const squares = tensors.map((tensor) => tf.sum<tf.Scalar>(tf.square(tensor)))
  return tf.sqrt(tf.sum(tf.stack(squares)))
}

/**
 * What every gradient is multiplied by, so that their global norm is at most `clipNorm`: `min(1, clipNorm / (norm + 1e-6))` as in PyTorch's
 * `clip_grad_norm_`; 1 where `clipNorm` is 0.
 */
export function clipScale(norm: number, clipNorm: number): number {
  return clipNorm === 0 ? 1 : Math.min(1, clipNorm / (norm + 1e-6))
}
