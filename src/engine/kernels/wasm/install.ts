// Mends what the WebAssembly backend lacks or does slowly.
import * as tf from '@tensorflow/tfjs'
import { matMul } from './matMul'
import { unsortedSegmentSum } from './unsortedSegmentSum'

let installed = false

/** Registers our kernels for the `wasm` backend, whose own must be registered already. Further calls do nothing. */
export function installWasmKernels(): void {
  if (installed) return
  installed = true
  const original = tf.getKernel('BatchMatMul', 'wasm')
  tf.unregisterKernel('BatchMatMul', 'wasm')
  tf.registerKernel(matMul(original))
  tf.registerKernel(unsortedSegmentSum)
}
