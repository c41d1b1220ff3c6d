// Our own GPUDevice and WebGPUBackend: TensorFlow.js's own device asks for too few features and limits.
import * as tf from '@tensorflow/tfjs'
import { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu'
import { releaseEarly } from './earlyRelease'
import type { DeviceReport } from './report'

const WANTED_FEATURES = ['shader-f16', 'subgroups', 'timestamp-query'] as const satisfies GPUFeatureName[]

/** Limits that a model outgrows in their WebGPU defaults; each is raised to what the adapter offers. */
const RAISED_LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
  'maxComputeWorkgroupsPerDimension'
] as const satisfies (keyof GPUSupportedLimits)[]

/** Names under which processors pretend to be GPUs. */
const SOFTWARE_ADAPTERS = /swiftshader|llvmpipe|lavapipe|software|basic render/i

/** Private members of the pinned WebGPUBackend that our runner and meter use; asserted at the start so that an upgrade fails loudly. */
const USED_PRIVATE_MEMBERS = [
  'bufferManager',
  'tensorMap',
  'commandQueueOwnedIds',
  'tensorDataPendingDisposal',
  'submitQueue',
  'ensureCommandEncoderReady',
  'endComputePassEncoder'
]

export interface WebGpuHandle {
  device: GPUDevice
  backend: WebGPUBackend
  report: DeviceReport
}

let current: { handle: WebGpuHandle; fault: string | undefined } | undefined

/** The running WebGPU device, where there is one. */
export function webGpuHandle(): WebGpuHandle | undefined {
  return current?.handle
}

/** The first device loss or validation error since the start, or undefined. Errors arrive late, so this is asked after each read. */
export function webGpuFault(): string | undefined {
  return current?.fault
}

function describeAdapter(info: GPUAdapterInfo): string {
  const words = [info.vendor, info.architecture, info.description].filter((word, at, all) => word && all.indexOf(word) === at)
  return words.join(' ') || 'unnamed WebGPU adapter'
}

/** The adapter that would be used, or undefined where the browser has none. */
export async function findAdapter(): Promise<GPUAdapter | undefined> {
  if (!('gpu' in navigator)) return undefined
  return (await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' })) ?? undefined
}

export function isSoftwareAdapter(adapter: GPUAdapter): boolean {
  return adapter.info.isFallbackAdapter || SOFTWARE_ADAPTERS.test(describeAdapter(adapter.info))
}

/** Makes the device and registers its backend as `webgpu`, in place of TensorFlow.js's own. Throws where the adapter gives no device. */
export async function startWebGpu(adapter: GPUAdapter): Promise<WebGpuHandle> {
  const features = WANTED_FEATURES.filter((feature) => adapter.features.has(feature))
  const requiredLimits: Record<string, number> = {}
  for (const limit of RAISED_LIMITS) requiredLimits[limit] = adapter.limits[limit] as number
  const device = await adapter.requestDevice({ requiredFeatures: features, requiredLimits })
  const backend = new WebGPUBackend(device, adapter.info)
  for (const member of USED_PRIVATE_MEMBERS) {
    if (!(member in backend)) throw new Error(`This version of the WebGPU backend has no ${member}; use the pinned version.`)
  }
  releaseEarly(backend)
  const software = isSoftwareAdapter(adapter)
  const handle: WebGpuHandle = {
    device,
    backend,
    report: {
      backend: 'webgpu',
      adapter: describeAdapter(adapter.info),
      software,
      note: software ? 'WebGPU runs on the processor here, many times slower than on a graphics card.' : undefined,
      features,
      maximumBufferBytes: device.limits.maxStorageBufferBindingSize
    }
  }
  const session = { handle, fault: undefined as string | undefined }
  current = session
  device.addEventListener('uncapturederror', (event) => {
    session.fault ??= event.error.message
  })
  void device.lost.then((info) => {
    session.fault ??= `The graphics device was lost (${info.message || info.reason}).`
  })
  // The factory, not the instance: importing the package registers one that would make its own device, and it would stay.
  if (tf.findBackendFactory('webgpu')) tf.removeBackend('webgpu')
  tf.registerBackend('webgpu', () => backend, 3)
  if (!(await tf.setBackend('webgpu')) || tf.backend() !== backend) throw new Error('The WebGPU backend did not start.')
  return handle
}
