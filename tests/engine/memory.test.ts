// What the device still holds when a lot was made and freed within one queue of commands.
import * as tf from '@tensorflow/tfjs'
import { expect, test } from 'vitest'
import { MemoryMeter } from '../../src/engine/device/memory'
import { useBackend } from './backend'

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
