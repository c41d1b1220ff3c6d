// Cross-entropy of a label head's scores: few rows and few labels, so TensorFlow.js's own operations are enough on every backend.
import * as tf from '@tensorflow/tfjs'

/**
 * Mean nats of the true labels.
 * @param scores `[rows, labels]` float32 logits
 * @param labels `[rows]`
 * @returns float32 scalar, differentiable in the scores
 */
export function headLoss(scores: tf.Tensor2D, labels: Int32Array): tf.Scalar {
  return tf.tidy(() => {
    const chosen = tf.oneHot(tf.tensor1d(labels, 'int32'), scores.shape[1])
    return tf.neg<tf.Scalar>(tf.mean(tf.sum(tf.mul(tf.logSoftmax(scores), chosen), 1)))
  })
}
