// Rows of an embedding table, by token id.
import * as tf from '@tensorflow/tfjs'
import { gatherFused } from './webgpu/gather'
import { isWebGpu } from './webgpu/run'

/**
 * `table` `[vocabulary, hidden]` float32, `ids` `[n]` int32. Returns `[n, hidden]` float32. Differentiable in the table, whose gradient is dense and
 * is made only where the table is trained.
 */
export function embedding(table: tf.Tensor2D, ids: Int32Array | tf.Tensor1D): tf.Tensor2D {
  return isWebGpu() && ids instanceof Int32Array ? gatherFused(table, ids) : embeddingComposed(table, ids)
}

/** The form in TensorFlow.js operations, for every backend. */
export function embeddingComposed(table: tf.Tensor2D, ids: Int32Array | tf.Tensor1D): tf.Tensor2D {
  return tf.gather(table, ids instanceof Int32Array ? tf.tensor1d(ids, 'int32') : ids)
}
