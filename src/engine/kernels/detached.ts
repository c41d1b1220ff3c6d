// The numbers of a tensor apart from the tape: what is made of them is not differentiated.
import * as tf from '@tensorflow/tfjs'

/** A tensor with the same data as `x`, which stays as long as either is there; no gradient flows through it. */
export function detached<Rank extends tf.Tensor>({ dataId, shape, dtype }: Rank): Rank {
  tf.backend().incRef(dataId)
  return tf.engine().makeTensorFromTensorInfo({ dataId, shape, dtype }) as Rank
}
