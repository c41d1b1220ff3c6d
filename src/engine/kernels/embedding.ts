// Rows of an embedding table, by token id.
import * as tf from '@tensorflow/tfjs'
import { PackedMatrix, unpacked, type FrozenMatrix } from './packed'
import { gatherFused, gatherPacked } from './webgpu/gather'
import { isWebGpu } from './webgpu/run'

/**
 * `table` `[vocabulary, hidden]` float32 or packed, `ids` `[n]` int32. Returns `[n, hidden]` float32. Differentiable in the table, whose gradient is dense and
 * is made only where the table is trained.
 */
export function embedding(table: FrozenMatrix, ids: Int32Array | tf.Tensor1D): tf.Tensor2D {
  if (!isWebGpu() || !(ids instanceof Int32Array)) return embeddingComposed(table, ids)
  return table instanceof PackedMatrix ? gatherPacked(table, ids) : gatherFused(table, ids)
}

/** The form in TensorFlow.js operations, for every backend. */
export function embeddingComposed(table: FrozenMatrix, ids: Int32Array | tf.Tensor1D): tf.Tensor2D {
  return tf.gather(unpacked(table), ids instanceof Int32Array ? tf.tensor1d(ids, 'int32') : ids)
}
