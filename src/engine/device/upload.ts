// Puts weights on the device at once: TensorFlow.js would keep them in the JS heap until a tensor's first use.
import * as tf from '@tensorflow/tfjs'
import { decodeTensor, type StoredTensor } from '../formats/safetensors'
import { canPack, frozenMatrix, type PackedMatrix } from '../kernels/packed'
import type { PackingId, StoredDtype } from '../kernels/packings'
import { webGpuHandle } from './webgpu'

/** Bytes that may be on their way to the device before the host waits for it. */
const BYTES_UNDER_WAY = 64e6

/** Uploads tensors one after another; none of their numbers stays in the JS heap. */
export class Uploader {
  #underWay = 0

  /**
   * A tensor's stored bytes on the current backend, owned by the caller: packed where a packing is given and can be used here, else float32.
   * Await it before the next.
   * @throws RangeError where a number is beyond what the packing holds
   */
  async put(name: string, tensor: StoredTensor, bytes: Uint8Array, packing?: PackingId): Promise<tf.Tensor | PackedMatrix> {
    const packed = packing && canPack()
    const put = packed
      ? frozenMatrix(bytes, tensor.dtype as StoredDtype, tensor.shape as [number, number], packing)
      : uploaded(tf.tensor(decodeTensor(name, tensor, bytes, true), [...tensor.shape], 'float32'))
    this.#underWay += bytes.byteLength
    if (this.#underWay >= BYTES_UNDER_WAY) {
      this.#underWay = 0
      if (tf.getBackend() === 'webgpu') await webGpuHandle()?.device.queue.onSubmittedWorkDone()
    }
    return put
  }
}

/** WebAssembly has copied the numbers into its own memory by now; the others do so when they are told. */
function uploaded(tensor: tf.Tensor): tf.Tensor {
  const backend = tf.backend() as unknown as {
    uploadToGPU?(dataId: object): void
    stagingPendingDisposal?: GPUBuffer[]
    endComputePassEncoder(): void
    submitQueue(): void
  }
  backend.uploadToGPU?.(tensor.dataId)
  // A buffer of the pool is filled by a copy from another one, which is freed when that is submitted.
  if (backend.stagingPendingDisposal?.length) {
    backend.endComputePassEncoder()
    backend.submitQueue()
  }
  return tensor
}
