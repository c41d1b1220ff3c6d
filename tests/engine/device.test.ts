// The device: what is asked for, what is chosen on a machine without a graphics card, faults, and the byte counts.
import * as tf from '@tensorflow/tfjs'
import plain from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm?url'
import simd from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm?url'
import { expect, test } from 'vitest'
import { assertDeviceHealthy, assertTensorFits, startDevice } from '../../src/engine/device/start'
import { MemoryMeter } from '../../src/engine/device/memory'
import { webGpuHandle } from '../../src/engine/device/webgpu'

const wasm = { plain, simd }

test('a forced WebGPU device has the features and limits that the adapter offers', async () => {
  const report = await startDevice({ prefer: 'webgpu', wasm })
  const adapter = await navigator.gpu.requestAdapter()
  expect(tf.getBackend()).toBe('webgpu')
  expect(tf.backend()).toBe(webGpuHandle()?.backend)
  expect(report.software).toBe(true)
  expect(report.note).toContain('processor')
  expect(report.maximumBufferBytes).toBe(adapter?.limits.maxStorageBufferBindingSize)
  expect(report.features).toContain('timestamp-query')
  expect(webGpuHandle()?.device.limits.maxStorageBuffersPerShaderStage).toBe(adapter?.limits.maxStorageBuffersPerShaderStage)
  expect(() => assertTensorFits(report, 'the embedding', report.maximumBufferBytes + 4)).toThrow(/binds at most/)
  assertTensorFits(report, 'the embedding', report.maximumBufferBytes)
})

test('the meter sees a temporary tensor in its peak and not afterwards', async () => {
  await startDevice({ prefer: 'webgpu', wasm })
  const meter = new MemoryMeter()
  const before = meter.bytes
  const sum = tf.tidy(() => tf.sum(tf.add(tf.ones([1000, 10]), 1)))
  expect(await sum.data()).toEqual(new Float32Array([20000]))
  sum.dispose()
  expect(meter.peak - before).toBeGreaterThanOrEqual(2 * 40000)
  expect(meter.peak - before).toBeLessThan(3 * 40000)
  expect(meter.bytes).toBe(before)
})

test('a command that WebGPU refuses is noticed', async () => {
  await startDevice({ prefer: 'webgpu', wasm })
  assertDeviceHealthy()
  const device = webGpuHandle()!.device
  const buffer = device.createBuffer({ size: 16, usage: GPUBufferUsage.COPY_DST })
  const encoder = device.createCommandEncoder()
  encoder.copyBufferToBuffer(buffer, 0, buffer, 8, 8)
  device.queue.submit([encoder.finish()])
  await device.queue.onSubmittedWorkDone()
  await tf.ones([2]).data()
  expect(assertDeviceHealthy).toThrow(/graphics device failed/)
})

test('a lost device is noticed, and a new start works again', async () => {
  await startDevice({ prefer: 'webgpu', wasm })
  const { device } = webGpuHandle()!
  device.destroy()
  await device.lost
  expect(assertDeviceHealthy).toThrow(/was lost/)
  await startDevice({ prefer: 'webgpu', wasm })
  assertDeviceHealthy()
  expect(await tf.tidy(() => tf.add(tf.ones([2]), 1)).data()).toEqual(new Float32Array([2, 2]))
})

test('without a choice, a software WebGPU is used only where it is the faster', async () => {
  const report = await startDevice({ wasm })
  expect(['webgpu', 'wasm']).toContain(report.backend)
  expect(tf.getBackend()).toBe(report.backend)
  expect(report.software).toBe(true)
  expect(report.note).toBeTruthy()
  const meter = new MemoryMeter()
  const before = meter.bytes
  const x = tf.tidy(() => tf.mul(tf.fill([256], 3), tf.fill([256], 4)))
  await x.data()
  x.dispose()
  expect(meter.peak - before).toBeGreaterThanOrEqual(3 * 1024)
  expect(meter.peak - before).toBeLessThan(5 * 1024)
  expect(meter.bytes).toBe(before)
})
