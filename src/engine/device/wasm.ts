// The WebAssembly fallback: where the binaries are, and what to say about it.
import * as tf from '@tensorflow/tfjs'
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm'
import { installWasmKernels } from '../kernels/wasm/install'
import type { DeviceReport } from './report'

/** Addresses of the binaries, given by whoever bundles or serves them. */
export interface WasmAddresses {
  plain: string
  simd: string
}

/** Starts the `wasm` backend on one thread: the threaded build needs cross-origin isolation, which a static host cannot promise. */
export async function startWasm(addresses: WasmAddresses): Promise<DeviceReport> {
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false)
  if (!tf.engine().registry['wasm']) {
    // Once started, the backend refuses new paths. It also demands a path for the threaded binary, which is never asked for.
    setWasmPaths({
      'tfjs-backend-wasm.wasm': addresses.plain,
      'tfjs-backend-wasm-simd.wasm': addresses.simd,
      'tfjs-backend-wasm-threaded-simd.wasm': addresses.simd
    })
  }
  installWasmKernels()
  if (!(await tf.setBackend('wasm'))) throw new Error('WebAssembly did not start.')
  await tf.ready()
  const simd = await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT')
  return {
    backend: 'wasm',
    adapter: simd ? 'WebAssembly SIMD' : 'WebAssembly',
    software: true,
    note: 'Everything runs on the processor (WebAssembly), many times slower than on a graphics card with WebGPU.',
    features: simd ? ['simd'] : [],
    maximumBufferBytes: 2 ** 31 - 1
  }
}
