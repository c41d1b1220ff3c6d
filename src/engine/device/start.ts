// Picks and starts what computes: WebGPU, else WebAssembly, else WebGL; a software WebGPU only where it beats WebAssembly.
import * as tf from '@tensorflow/tfjs'
import { UserError } from '../errors'
import { probeMilliseconds } from './probe'
import type { BackendName, DeviceReport } from './report'
import { startWasm, type WasmAddresses } from './wasm'
import { findAdapter, isSoftwareAdapter, startWebGpu, webGpuFault } from './webgpu'

export interface StartOptions {
  /** Forces one backend; without it the fastest is chosen. */
  prefer?: BackendName
  wasm: WasmAddresses
}

async function startWebGl(): Promise<DeviceReport> {
  if (!(await tf.setBackend('webgl'))) throw new Error('WebGL did not start.')
  await tf.ready()
  return {
    backend: 'webgl',
    adapter: 'WebGL',
    software: false,
    note: 'WebGPU is missing: WebGL computes in its place, slower, and on some graphics cards less precisely.',
    features: [],
    maximumBufferBytes: (tf.env().getNumber('WEBGL_MAX_TEXTURE_SIZE') || 4096) ** 2 * 4
  }
}

async function startForced(name: BackendName, options: StartOptions): Promise<DeviceReport> {
  if (name === 'wasm') return startWasm(options.wasm)
  if (name === 'webgl') return startWebGl()
  const adapter = await findAdapter()
  if (!adapter)
    throw new UserError(
      'This browser offers no WebGPU adapter.',
      'Update the browser or its graphics driver, or let Tuneground choose WebAssembly.'
    )
  return (await startWebGpu(adapter)).report
}

/**
 * An emulated WebGPU must be so many times faster than WebAssembly to be worth it: it compiles for seconds before the first step, and takes every
 * core from the page. On SwiftShader the probe is eight to thirteen times slower.
 */
const WORTH_EMULATING = 2

/** Where WebGPU is only emulated, times both and keeps the faster. */
async function startFasterSoftware(adapter: GPUAdapter, options: StartOptions): Promise<DeviceReport> {
  const gpu = await startWebGpu(adapter)
  const gpuTime = await probeMilliseconds()
  try {
    const report = await startWasm(options.wasm)
    const wasmTime = await probeMilliseconds()
    if (wasmTime < WORTH_EMULATING * gpuTime) {
      return {
        ...report,
        note: 'No graphics card is reachable here: WebAssembly computes on the processor, many times slower than WebGPU on a graphics card.'
      }
    }
  } catch {
    // Without WebAssembly the emulated WebGPU is the better of what is left.
  }
  await tf.setBackend('webgpu')
  return gpu.report
}

/** Starts a backend and says which. Throws a `UserError` where none of the three starts. */
export async function startDevice(options: StartOptions): Promise<DeviceReport> {
  tf.enableProdMode()
  if (options.prefer) return startForced(options.prefer, options)
  const adapter = await findAdapter().catch(() => undefined)
  if (adapter) {
    try {
      return isSoftwareAdapter(adapter) ? await startFasterSoftware(adapter, options) : (await startWebGpu(adapter)).report
    } catch {
      // A driver that offers an adapter but no device: the next backend may still work.
    }
  }
  for (const start of [() => startWasm(options.wasm), startWebGl]) {
    try {
      return await start()
    } catch {
      // Try the next; the error below is for when all have failed.
    }
  }
  throw new UserError('This browser can run neither WebGPU, nor WebAssembly, nor WebGL.', 'Use a recent Chrome, Edge, Firefox or Safari.')
}

/** Throws a `UserError` where the device was lost or refused a command: numbers after that would be wrong without a sign. */
export function assertDeviceHealthy(): void {
  const fault = tf.getBackend() === 'webgpu' ? webGpuFault() : undefined
  if (fault) throw new UserError(`The graphics device failed: ${fault}`, 'Reload the page; the race goes on from its last checkpoint.')
}

/** Throws a `UserError` where a tensor of that many bytes cannot be bound on this device. */
export function assertTensorFits(device: DeviceReport, name: string, bytes: number): void {
  if (bytes <= device.maximumBufferBytes) return
  const megabytes = (value: number): string => `${Math.round(value / 1e6)} MB`
  throw new UserError(
    `This device binds at most ${megabytes(device.maximumBufferBytes)} at once, and ${name} needs ${megabytes(bytes)}.`,
    'Choose a smaller model, or a device with a larger graphics memory.'
  )
}
