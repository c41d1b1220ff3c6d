// The fused optimiser against the composed one: many tensors of many sizes, parts of their own rates, frozen parts, dropped updates.
import * as tf from '@tensorflow/tfjs'
import { beforeAll, expect, test } from 'vitest'
import { webGpuFault } from '../../src/engine/device/webgpu'
import { ComposedOptimiser, updateRates, type Optimiser, type TrainedTensor, type UpdateRate } from '../../src/engine/kernels/optimiser'
import { FusedOptimiser } from '../../src/engine/kernels/webgpu/optimiser'
import { runner } from '../../src/engine/kernels/webgpu/run'
import { difference, normal, startFused, stream } from './fusedHarness'

beforeAll(startFused)

const SETTINGS = { beta1: 0.9, beta2: 0.99, epsilon: 1e-6, clipNorm: 1 }
/** Whole quads and odd sizes, large and small, of two parts by turns. */
const SHAPES = [[3], [200, 100], [16], [129], [64, 64], [1], [2, 4], [40], [7, 11], [12], [64], [128], [256], [512], [90, 100], [5, 5], [8]]
const RATES: UpdateRate[] = [
  { learningRate: 0.01, weightDecay: 0.1, step: 3 },
  { learningRate: 0.3, weightDecay: 0, step: 1 }
]

function tensors(): TrainedTensor[] {
  const next = stream(5)
  return SHAPES.map((shape, at) => {
    const parameter = normal(shape, next)
    const values = (): Float32Array => Float32Array.from({ length: parameter.size }, next)
    return { parameter, part: at % 2, moments: { first: values(), second: values() } }
  })
}

function gradients(scale = 1): tf.Tensor[] {
  const next = stream(6)
  return SHAPES.map((shape) => normal(shape, next, scale))
}

/** One whole update; returns the loss and the norm as the device told them. */
async function update(optimiser: Optimiser, some: (tf.Tensor | undefined)[], rates: (UpdateRate | undefined)[] = RATES, lossValue = 2) {
  const loss = tf.scalar(lossValue)
  const inputs = { loss, gradients: some, rates: updateRates(rates, SETTINGS) }
  const measured = optimiser.update(inputs)
  const [told, norm] = (await measured.data()) as unknown as [number, number]
  if (Number.isFinite(told) && Number.isFinite(norm)) optimiser.commit(inputs, { norm })
  tf.dispose([loss, measured])
  return { loss: told, norm }
}

async function expectSame(fused: Optimiser, composed: Optimiser): Promise<void> {
  for (const [at, wanted] of composed.parameters.entries()) {
    expect(await difference(fused.parameters[at]!, wanted), `tensor ${at}`).toBeLessThan(1e-6)
  }
  const [ours, theirs] = [await fused.moments(), await composed.moments()]
  for (const moment of ['first', 'second'] as const) {
    for (const [at, wanted] of theirs.entries()) {
      const worst = wanted[moment].reduce((most, value, i) => Math.max(most, Math.abs(value - ours[at]![moment][i]!)), 0)
      expect(worst, `${moment} moment of ${at}`).toBeLessThan(1e-6)
      expect(ours[at]![moment].length).toBe(wanted[moment].length)
    }
  }
}

for (const clipNorm of [0, 1]) {
  test(`three updates, the second with one part frozen, clipped at ${clipNorm}`, async () => {
    const settings = { ...SETTINGS, clipNorm }
    const [fused, composed] = [new FusedOptimiser(tensors(), settings), new ComposedOptimiser(tensors(), settings)]
    const all = gradients()
    const buffers = tf.memory().numDataBuffers
    for (const frozen of [undefined, 1, undefined]) {
      const some = all.map((gradient, at) => (at % 2 === frozen ? undefined : gradient))
      const rates = RATES.map((rate, part) => (part === frozen ? undefined : rate))
      const [ours, theirs] = [await update(fused, some, rates), await update(composed, some, rates)]
      expect(ours.loss).toBe(2)
      expect(ours.norm / theirs.norm).toBeCloseTo(1, 6)
      await expectSame(fused, composed)
    }
    expect(tf.memory().numDataBuffers).toBe(buffers)
    expect(webGpuFault()).toBeUndefined()
    fused.dispose()
    composed.dispose()
    tf.dispose(all)
  })
}

for (const [name, gradient, loss] of [
  ['a gradient that is not a number', NaN, 2],
  ['an infinite gradient', Infinity, 2],
  ['a loss that is not a number', 1, NaN],
  ['an infinite loss', 1, Infinity]
] as const) {
  test(`${name} changes nothing, with and without clipping`, async () => {
    for (const clipNorm of [0, 1]) {
      const optimiser = new FusedOptimiser(tensors(), { ...SETTINGS, clipNorm })
      const before = tensors()
      const some = gradients()
      some[1]!.dispose()
      some[1] = tf.fill([200, 100], gradient)
      const { norm } = await update(optimiser, some, RATES, loss)
      expect(Number.isFinite(norm)).toBe(Number.isFinite(gradient))
      const moments = await optimiser.moments()
      for (const [at, tensor] of optimiser.parameters.entries()) {
        expect(await tensor.data()).toEqual(await before[at]!.parameter.data())
        expect(moments[at]).toEqual(before[at]!.moments)
      }
      optimiser.dispose()
      tf.dispose([some, before.map(({ parameter }) => parameter)])
    }
  })
}

test('an update reads anew what the host had read before', async () => {
  const optimiser = new FusedOptimiser([{ parameter: tf.tensor1d([1, 2, 3, 4]), part: 0 }], SETTINGS)
  const before = (await optimiser.parameters[0]!.data()).slice()
  const gradient = tf.tensor1d([1, 1, 1, 1])
  await update(optimiser, [gradient])
  expect(await optimiser.parameters[0]!.data()).not.toEqual(before)
  optimiser.dispose()
  gradient.dispose()
})

test('dispatches grow with what the device binds, not with the tensors', async () => {
  const optimiser = new FusedOptimiser(tensors(), SETTINGS)
  const some = gradients()
  const run = runner()
  const before = run.dispatches
  await update(optimiser, some)
  const { maxStorageBuffersPerShaderStage: bound } = run.device.limits
  const norm = Math.ceil(SHAPES.length / (bound - 1)) + 1
  // Whole quads and odd sizes are dispatched apart.
  expect(run.dispatches - before).toBeLessThanOrEqual(norm + Math.ceil(SHAPES.length / Math.floor((bound - 2) / 2)) + 1)
  optimiser.dispose()
  tf.dispose(some)
})
