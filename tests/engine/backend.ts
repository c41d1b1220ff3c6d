// Starts one named backend for a test.
import * as tf from '@tensorflow/tfjs'
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm'
import plain from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm?url'
import simd from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm?url'
import { startDevice } from '../../src/engine/device/start'
import { installWasmKernels } from '../../src/engine/kernels/wasm/install'

/** The backends that the engine's numbers are held against golden on. */
export const backends = ['webgpu', 'wasm'] as const

/** Makes `name` the current backend. Call it in `beforeAll`; tensors of another backend stay valid. */
export async function useBackend(name: (typeof backends)[number]): Promise<void> {
  if (name === 'webgpu') {
    await startDevice({ prefer: 'webgpu', wasm: { plain, simd } })
    return
  }
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false)
  if (!tf.findBackend('wasm')) {
    setWasmPaths({ 'tfjs-backend-wasm.wasm': plain, 'tfjs-backend-wasm-simd.wasm': simd, 'tfjs-backend-wasm-threaded-simd.wasm': simd })
  }
  installWasmKernels()
  if (!(await tf.setBackend('wasm'))) throw new Error('WebAssembly did not start.')
}
