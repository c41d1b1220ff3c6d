// Starts one named backend for a test.
import plain from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm?url'
import simd from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm?url'
import type { DeviceReport } from '../../src/engine/device/report'
import { startDevice } from '../../src/engine/device/start'

/** The backends that the engine's numbers are held against golden on. */
export const backends = ['webgpu', 'wasm'] as const

/** Makes `name` the current backend. Call it in `beforeAll`. */
export async function useBackend(name: (typeof backends)[number]): Promise<DeviceReport> {
  return startDevice({ prefer: name, wasm: { plain, simd } })
}
