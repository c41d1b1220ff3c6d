// One AdamW update of one tensor (Loshchilov and Hutter 2019), in PyTorch's order of operations.
import * as tf from '@tensorflow/tfjs'

export interface AdamwState {
  /** Float32 of any shape; both moments have the same. */
  parameter: tf.Tensor
  firstMoment: tf.Tensor
  secondMoment: tf.Tensor
}

export interface AdamwInputs extends AdamwState {
  gradient: tf.Tensor
  learningRate: number
  beta1: number
  beta2: number
  epsilon: number
  weightDecay: number
  /** 1 for the first update. */
  step: number
  /** Multiplies the gradient: 1, or what clipping makes of it. A tensor, so that the norm need not be read back. */
  gradientScale: tf.Scalar
}

/** Parameter and moments after the update, as new tensors: the form in TensorFlow.js operations, for every backend. */
export function adamwComposed(inputs: AdamwInputs): AdamwState {
  const { learningRate, beta1, beta2, epsilon, weightDecay, step } = inputs
  const gradient = tf.mul(inputs.gradient, inputs.gradientScale)
  const firstMoment = tf.add(tf.mul(inputs.firstMoment, beta1), tf.mul(gradient, 1 - beta1))
  const secondMoment = tf.add(tf.mul(inputs.secondMoment, beta2), tf.mul(tf.square(gradient), 1 - beta2))
  const denominator = tf.add(tf.mul(tf.sqrt(secondMoment), 1 / Math.sqrt(1 - beta2 ** step)), epsilon)
  const update = tf.mul(tf.div(firstMoment, denominator), learningRate / (1 - beta1 ** step))
  return { parameter: tf.sub(tf.mul(inputs.parameter, 1 - learningRate * weightDecay), update), firstMoment, secondMoment }
}
