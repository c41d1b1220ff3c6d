// One AdamW update (Loshchilov and Hutter 2019), in PyTorch's order of operations.
import * as tf from '@tensorflow/tfjs'
import { adamwFused } from './webgpu/adamw'
import { isWebGpu } from './webgpu/run'

export interface AdamwInputs {
  /** Float32 of any shape; the gradient and both moments have the same. */
  parameter: tf.Tensor
  gradient: tf.Tensor
  firstMoment: tf.Tensor
  secondMoment: tf.Tensor
  learningRate: number
  beta1: number
  beta2: number
  epsilon: number
  weightDecay: number
  /** 1 for the first update. */
  step: number
  /** Multiplies the gradient: 1, or what clipping makes of it. A tensor, so that the norm is never read back. */
  gradientScale: tf.Scalar
  /**
   * The old state is not read again: the new one may take its memory, which halves the optimiser's peak. A `gradientScale` that is not finite then
   * changes nothing.
   */
  overwrite?: boolean
}

export interface AdamwState {
  parameter: tf.Tensor
  firstMoment: tf.Tensor
  secondMoment: tf.Tensor
}

/** Parameter and moments after the update, as new tensors; without `overwrite` the inputs are left as they are. */
export function adamw(inputs: AdamwInputs): AdamwState {
  return isWebGpu() ? adamwFused(inputs) : adamwComposed(inputs)
}

/** The form in TensorFlow.js operations, for every backend. */
export function adamwComposed(inputs: AdamwInputs): AdamwState {
  const { learningRate, beta1, beta2, epsilon, weightDecay, step } = inputs
  const gradient = tf.mul(inputs.gradient, inputs.gradientScale)
  const firstMoment = tf.add(tf.mul(inputs.firstMoment, beta1), tf.mul(gradient, 1 - beta1))
  const secondMoment = tf.add(tf.mul(inputs.secondMoment, beta2), tf.mul(tf.square(gradient), 1 - beta2))
  const denominator = tf.add(tf.mul(tf.sqrt(secondMoment), 1 / Math.sqrt(1 - beta2 ** step)), epsilon)
  const update = tf.mul(tf.div(firstMoment, denominator), learningRate / (1 - beta1 ** step))
  return { parameter: tf.sub(tf.mul(inputs.parameter, 1 - learningRate * weightDecay), update), firstMoment, secondMoment }
}
