// Frees device memory sooner: TensorFlow.js counts what was disposed as used until the commands that read it are submitted, many dispatches later.
import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu'

/** What we use of the pinned backend beyond its typed interface; asserted by `startWebGpu`. */
interface BackendInternals {
  tensorMap: { get(dataId: object): { resource?: GPUBuffer } | undefined }
  tensorDataPendingDisposal: object[]
  bufferManager: { numBytesUsed: number }
  endComputePassEncoder(): void
  submitQueue(): void
  disposeData(dataId: object, force?: boolean): boolean
}

/** Less than this is not worth a submit, of which each costs tens of microseconds. */
const LEAST_BYTES = 2 ** 19

/** The share of the memory in use that may wait. */
const LARGEST_SHARE = 1 / 512

/** Bytes that may wait to be freed, where so many are in use. */
export const mayWait = (inUse: number): number => Math.max(LEAST_BYTES, LARGEST_SHARE * inUse)

/** Makes the backend submit its commands when more than a small share of its memory waits for that. */
export function releaseEarly(typed: WebGPUBackend): void {
  const backend = typed as unknown as BackendInternals
  let waiting = 0
  const submit = backend.submitQueue.bind(backend)
  backend.submitQueue = () => {
    waiting = 0
    submit()
  }
  const dispose = backend.disposeData.bind(backend)
  backend.disposeData = (dataId, force) => {
    const bytes = backend.tensorMap.get(dataId)?.resource?.size ?? 0
    const before = backend.tensorDataPendingDisposal.length
    const disposed = dispose(dataId, force)
    if (backend.tensorDataPendingDisposal.length > before) {
      waiting += bytes
      if (waiting > mayWait(backend.bufferManager.numBytesUsed)) {
        backend.endComputePassEncoder()
        backend.submitQueue()
      }
    }
    return disposed
  }
}
