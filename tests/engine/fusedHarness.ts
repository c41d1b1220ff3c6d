// Holds fused WebGPU operations against the composed forms: results, every gradient, tensors and GPU errors.
import * as tf from '@tensorflow/tfjs'
import { expect } from 'vitest'
import { webGpuFault, webGpuHandle } from '../../src/engine/device/webgpu'
import { useBackend } from './backend'

export async function startFused(): Promise<void> {
  await useBackend('webgpu')
}

/** A repeatable stream of numbers in [0, 1) (mulberry32). */
export function stream(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** A float32 tensor of roughly normal numbers. */
export function normal(shape: number[], next: () => number, spread = 1): tf.Tensor {
  const size = shape.reduce((product, side) => product * side, 1)
  const values = Float32Array.from({ length: size }, () => (next() + next() + next() + next() - 2) * 1.7 * spread)
  return tf.tensor(values, shape)
}

/** Largest difference, relative to the largest expected value. */
export async function difference(actual: tf.Tensor, expected: tf.Tensor): Promise<number> {
  expect(actual.shape).toEqual(expected.shape)
  const [a, b] = [await actual.data(), await expected.data()]
  let worst = 0
  let largest = 1e-6
  for (let at = 0; at < b.length; at++) {
    largest = Math.max(largest, Math.abs(b[at] as number))
    worst = Math.max(worst, Math.abs((a[at] as number) - (b[at] as number)))
    if (Number.isNaN(a[at])) return NaN
  }
  return worst / largest
}

type Operation = (...inputs: tf.Tensor[]) => tf.Tensor

/**
 * Expects both forms to agree on the result and on the gradient of every input under a random incoming gradient, and neither to leave a tensor. The
 * incoming gradient is multiplied by `mask` where there is one: rows without meaning have none.
 */
export async function expectSame(
  fused: Operation,
  composed: Operation,
  inputs: tf.Tensor[],
  { seed = 1, tolerance = 2e-5, mask }: { seed?: number; tolerance?: number; mask?: tf.Tensor } = {}
): Promise<void> {
  const device = webGpuHandle()!.device
  device.pushErrorScope('validation')
  const masked = (y: tf.Tensor): tf.Tensor => (mask ? tf.mul(y, mask) : y)
  const y = tf.tidy(() => masked(composed(...inputs)))
  const dy = normal(y.shape, stream(seed))
  const wanted = tf.grads((...xs: tf.Tensor[]) => masked(composed(...xs)))(inputs, dy)
  const before = tf.memory().numTensors
  const ours = tf.tidy(() => masked(fused(...inputs)))
  const got = tf.grads((...xs: tf.Tensor[]) => masked(fused(...xs)))(inputs, dy)
  expect(tf.memory().numTensors - before, 'tensors left').toBe(1 + inputs.length)
  expect((await device.popErrorScope())?.message).toBeUndefined()
  expect(webGpuFault()).toBeUndefined()
  expect(await difference(ours, y), 'result').toBeLessThan(tolerance)
  for (let at = 0; at < inputs.length; at++) {
    expect(await difference(got[at] as tf.Tensor, wanted[at] as tf.Tensor), `gradient of input ${at}`).toBeLessThan(tolerance)
  }
  tf.dispose([ours, got, y, dy, wanted])
}
