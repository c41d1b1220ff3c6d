// Mends what the WebAssembly backend lacks or does slowly.
import * as tf from '@tensorflow/tfjs'
import { matMul } from './matMul'
import { sharing } from './sharing'
import { unsortedSegmentSum } from './unsortedSegmentSum'

const replacements: Record<string, (original: tf.KernelConfig) => tf.KernelConfig> = {
  BatchMatMul: matMul,
  Cast: sharing,
  Identity: sharing
}

let installed = false

/** Registers our kernels for the `wasm` backend, whose own must be registered already. Further calls do nothing. */
export function installWasmKernels(): void {
  if (installed) return
  installed = true
  for (const [name, replace] of Object.entries(replacements)) {
    const original = tf.getKernel(name, 'wasm')
    tf.unregisterKernel(name, 'wasm')
    tf.registerKernel(replace(original))
  }
  tf.registerKernel(unsortedSegmentSum)
}
