// Some rows of a matrix: the hidden states at the label positions.
import * as tf from '@tensorflow/tfjs'
import { gatherFused } from './webgpu/gather'
import { isWebGpu } from './webgpu/run'

/** `x` `[rows, hidden]` float32, `indices` `[n]` int32. Returns `[n, hidden]` float32. Differentiable in x; an index may occur more than once. */
export function gatherRows(x: tf.Tensor2D, indices: Int32Array | tf.Tensor1D): tf.Tensor2D {
  return isWebGpu() && indices instanceof Int32Array ? gatherFused(x, indices) : gatherRowsComposed(x, indices)
}

/** The form in TensorFlow.js operations, for every backend. */
export function gatherRowsComposed(x: tf.Tensor2D, indices: Int32Array | tf.Tensor1D): tf.Tensor2D {
  return tf.gather(x, indices instanceof Int32Array ? tf.tensor1d(indices, 'int32') : indices)
}
