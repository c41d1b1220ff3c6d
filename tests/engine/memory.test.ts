// What the device still holds when a lot was made and freed within one queue of commands.
import * as tf from '@tensorflow/tfjs'
import { expect, test } from 'vitest'
import { MemoryMeter, releaseFreed } from '../../src/engine/device/memory'
import { webGpuHandle } from '../../src/engine/device/webgpu'
import { useBackend } from './backend'
import { tinyDecoder, tinyLlama } from './tinyModel'

const MEGABYTE = 2 ** 20

test('what was freed is given back soon, and the results stay right', async () => {
  await useBackend('webgpu')
  const meter = new MemoryMeter()
  const ones = tf.ones([MEGABYTE / 4])
  const before = meter.bytes
  let sum = ones.clone()
  // Ten steps of one megabyte each stay far below the backend's own batch of dispatches.
  for (let i = 0; i < 10; i++) {
    const next = tf.add(sum, ones)
    sum.dispose()
    sum = next
  }
  expect(meter.peak - before).toBeGreaterThan(MEGABYTE)
  expect(meter.peak - before).toBeLessThan(6 * MEGABYTE)
  expect(new Set(await sum.data())).toEqual(new Set([11]))
  tf.dispose([ones, sum])
})

test('a model that goes gives its memory back to the device', async () => {
  await useBackend('webgpu')
  const manager = webGpuHandle()!.backend.bufferManager as unknown as { numBytesAllocated: number }
  releaseFreed()
  const before = manager.numBytesAllocated
  const decoder = await tinyDecoder({ ...tinyLlama, vocab_size: 50_000 })
  const loss = decoder.loss({
    size: 1,
    time: 16,
    inputIds: new Int32Array(16),
    lengths: Int32Array.of(16),
    labelRows: Int32Array.of(15),
    labelIds: Int32Array.of(3),
    labelWeights: Float32Array.of(1)
  })
  expect((await loss.data())[0]).toBeGreaterThan(0)
  loss.dispose()
  decoder.dispose()
  expect(manager.numBytesAllocated - before).toBeGreaterThan(4 * 50_000 * 20)
  releaseFreed()
  expect(manager.numBytesAllocated - before).toBeLessThan(10_000)
})
