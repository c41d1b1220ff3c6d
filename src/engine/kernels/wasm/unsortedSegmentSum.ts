// The gradient of gathering rows, which the WebAssembly backend lacks.
import type * as tf from '@tensorflow/tfjs'
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm'

/** Adds row i of `x` `[n, width...]` float32 to row `segmentIds[i]` of the result, `[numSegments, width...]`. */
export const unsortedSegmentSum: tf.KernelConfig = {
  kernelName: 'UnsortedSegmentSum',
  backendName: 'wasm',
  kernelFunc: ({ inputs, attrs, backend: anyBackend }) => {
    const backend = anyBackend as BackendWasm
    const { x, segmentIds } = inputs as { x: tf.TensorInfo; segmentIds: tf.TensorInfo }
    const { numSegments } = attrs as { numSegments: number }
    const output = backend.makeOutput([numSegments, ...x.shape.slice(1)], 'float32')
    // Looked up after the output was made, which may have moved the heap.
    const rows = backend.typedArrayFromHeap(x) as Float32Array
    const ids = backend.typedArrayFromHeap(segmentIds) as Int32Array
    const sums = (backend.typedArrayFromHeap(output) as Float32Array).fill(0)
    const width = rows.length / ids.length
    for (let i = 0, at = 0; i < ids.length; i++) {
      const begin = (ids[i] as number) * width
      for (let j = 0; j < width; j++) sums[begin + j]! += rows[at++] as number
    }
    return output
  }
}
