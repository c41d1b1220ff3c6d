// Cross-entropy of chosen positions against their target tokens, from hidden states: the vocabulary projection and the loss in one operation.
import * as tf from '@tensorflow/tfjs'
import { linearComposed } from './linear'
import type { FrozenMatrix } from './packed'
import { labelLogProbabilitiesFused, labelLossFused } from './webgpu/labelLoss'
import { isWebGpu } from './webgpu/run'

export interface LabelInputs {
  /** `[n, hidden]` float32, after the final norm. */
  hidden: tf.Tensor2D
  /** `[vocabulary, hidden]`: the output head, or the embedding where they are tied; float32, or packed where it is frozen. */
  table: FrozenMatrix
  /** `[vocabulary]` float32. */
  bias?: tf.Tensor1D
  /** `[n]` int32 token ids. */
  targets: Int32Array
}

export interface LabelLossInputs extends LabelInputs {
  /** `[n]`, summing to one for a mean. */
  weights: Float32Array
}

/** `sum(weights * -log p(target))`, a float32 scalar in nats. Differentiable in hidden, bias, and in a table that is not packed. */
export function labelLoss(inputs: LabelLossInputs): tf.Scalar {
  return isWebGpu() ? labelLossFused(inputs) : labelLossComposed(inputs)
}

/** The form in TensorFlow.js operations, for every backend. */
export function labelLossComposed(inputs: LabelLossInputs): tf.Scalar {
  return tf.neg(tf.sum(tf.mul(labelLogProbabilitiesComposed(inputs), tf.tensor1d(inputs.weights))))
}

/** `log p(target)` of each row, `[n]` float32 in nats; for evaluation, not differentiable. */
export function labelLogProbabilities(inputs: LabelInputs): tf.Tensor1D {
  return isWebGpu() ? labelLogProbabilitiesFused(inputs) : labelLogProbabilitiesComposed(inputs)
}

/** The form in TensorFlow.js operations, for every backend. */
export function labelLogProbabilitiesComposed({ hidden, table, bias, targets }: LabelInputs): tf.Tensor1D {
  const logits = linearComposed({ x: hidden, weight: table, bias })
  const chosen = tf.oneHot(tf.tensor1d(targets, 'int32'), table.shape[0])
  return tf.sum(tf.mul(tf.logSoftmax(logits), chosen), 1)
}
