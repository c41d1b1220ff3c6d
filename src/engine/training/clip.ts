// Clipping of the gradient by its global norm (Pascanu 2013), on the device.
import * as tf from '@tensorflow/tfjs'

/**
 * What every gradient is multiplied by, so that their global norm is at most `clipNorm`: `min(1, clipNorm / (norm + 1e-6))` as in PyTorch's
 * `clip_grad_norm_`. A scalar that stays on the device; 1 where `clipNorm` is 0.
 */
export function clipScale(norm: tf.Scalar, clipNorm: number): tf.Scalar {
  if (clipNorm === 0) return tf.scalar(1)
  return tf.tidy(() => tf.minimum<tf.Scalar>(tf.div(clipNorm, tf.add(norm, 1e-6)), 1))
}
