// Counts the bytes that tensors hold on the device, and the most they ever held.
import * as tf from '@tensorflow/tfjs'
import { isWebGpu, runner } from '../kernels/webgpu/run'
import { webGpuHandle } from './webgpu'

interface BufferManager {
  numBytesUsed: number
  acquireBuffer(...parameters: unknown[]): unknown
}

interface TrackingEngine {
  state: { numBytes: number }
  trackTensor(tensor: tf.Tensor, backend: unknown): void
}

/**
 * Reads bytes in use and their peak. On WebGPU these are the bytes of the backend's live buffers, those that wait for a submit included; on the
 * other backends the bytes of live tensors, since those backends report none of their own.
 */
export class MemoryMeter {
  #peak = 0
  #highest = 0
  readonly #read: () => number

  constructor() {
    const note = (): void => {
      const bytes = this.#read()
      this.#peak = Math.max(this.#peak, bytes)
      this.#highest = Math.max(this.#highest, bytes)
    }
    const handle = tf.getBackend() === 'webgpu' ? webGpuHandle() : undefined
    if (handle) {
      const manager = handle.backend.bufferManager as unknown as BufferManager
      this.#read = () => manager.numBytesUsed
      const acquire = manager.acquireBuffer.bind(manager)
      manager.acquireBuffer = (...parameters) => {
        const buffer = acquire(...parameters)
        note()
        return buffer
      }
    } else {
      const engine = tf.engine() as unknown as TrackingEngine
      this.#read = () => engine.state.numBytes
      const track = engine.trackTensor.bind(engine)
      engine.trackTensor = (tensor, backend) => {
        track(tensor, backend)
        note()
      }
    }
    this.begin()
  }

  /** Bytes in use now. */
  get bytes(): number {
    return this.#read()
  }

  /** Highest bytes in use since the last reset. */
  get peak(): number {
    return this.#peak
  }

  /** Highest bytes in use since `begin`, whatever was reset meanwhile. */
  get highest(): number {
    return this.#highest
  }

  /** Starts both records from what is in use now. */
  begin(): void {
    this.#highest = this.#read()
    this.reset()
  }

  /** Starts a new peak from what is in use now. */
  reset(): void {
    this.#peak = this.#read()
  }
}

/** Gives the device back what was freed: TensorFlow.js keeps all buffers, and one of another size is of no use to the next model. */
export function releaseFreed(): void {
  if (!isWebGpu()) return
  runner().flush()
  runner().trim()
}
