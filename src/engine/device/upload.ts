// Puts numbers on the device at once: TensorFlow.js would keep them in the JS heap until a tensor's first use.
import * as tf from '@tensorflow/tfjs'
import { webGpuHandle } from './webgpu'

/** Bytes that may be on their way to the device before the host waits for it. */
const BYTES_UNDER_WAY = 64e6

/** Uploads tensors one after another; none of their numbers stays in the JS heap. */
export class Uploader {
  #underWay = 0

  /** A float32 tensor on the current backend, owned by the caller. Await it before the next. */
  async put(values: Float32Array, shape: readonly number[]): Promise<tf.Tensor> {
    const tensor = tf.tensor(values, [...shape], 'float32')
    // WebAssembly has copied it into its own memory by now.
    const backend = tf.backend() as unknown as { uploadToGPU?(dataId: object): void }
    backend.uploadToGPU?.(tensor.dataId)
    this.#underWay += values.byteLength
    if (this.#underWay >= BYTES_UNDER_WAY) {
      this.#underWay = 0
      if (tf.getBackend() === 'webgpu') await webGpuHandle()?.device.queue.onSubmittedWorkDone()
    }
    return tensor
  }
}
