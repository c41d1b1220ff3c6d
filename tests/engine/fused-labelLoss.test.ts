// The fused loss at label rows against its composed form and against finite differences.
import * as tf from '@tensorflow/tfjs'
import { beforeAll, expect, test } from 'vitest'
import { MemoryMeter } from '../../src/engine/device/memory'
import { labelLogProbabilitiesComposed, labelLossComposed } from '../../src/engine/kernels/labelLoss'
import { valueAndGradients } from '../../src/engine/kernels/gradients'
import { labelLogProbabilitiesFused, labelLossFused } from '../../src/engine/kernels/webgpu/labelLoss'
import { runner } from '../../src/engine/kernels/webgpu/run'
import { difference, expectSame, normal, startFused, stream } from './fusedHarness'

beforeAll(startFused)

function example(rows: number, hidden: number, vocabulary: number, seed: number) {
  const next = stream(seed)
  const weights = Float32Array.from({ length: rows }, () => next())
  return {
    hidden: normal([rows, hidden], next) as tf.Tensor2D,
    table: normal([vocabulary, hidden], next) as tf.Tensor2D,
    bias: normal([vocabulary], next) as tf.Tensor1D,
    targets: Int32Array.from({ length: rows }, () => Math.floor(next() * vocabulary)),
    weights
  }
}

for (const [rows, width, vocabulary] of [
  [1, 8, 12],
  [5, 24, 97],
  [16, 32, 520],
  [130, 6, 44],
  [67, 20, 301]
] as const) {
  for (const parts of [false, true]) {
    test(`${rows} rows of ${vocabulary} tokens${parts ? ', in parts' : ''}`, async () => {
      const { hidden, table, bias, targets, weights } = example(rows, width, vocabulary, rows)
      const bytes = parts ? Math.ceil(rows / 2.5) * vocabulary * 4 : undefined
      type Form = (inputs: Parameters<typeof labelLossFused>[0]) => tf.Scalar
      const call =
        (form: Form) =>
        (h: tf.Tensor, t: tf.Tensor, b?: tf.Tensor): tf.Tensor =>
          tf.mul(form({ hidden: h as tf.Tensor2D, table: t as tf.Tensor2D, bias: b as tf.Tensor1D | undefined, targets, weights }), 0.7)
      const ours: Form = (inputs) => labelLossFused(inputs, bytes)
      await expectSame(call(ours), call(labelLossComposed), [hidden, table])
      await expectSame(call(ours), call(labelLossComposed), [hidden, table, bias])
      const got = tf.tidy(() => labelLogProbabilitiesFused({ hidden, table, bias, targets }, bytes))
      const wanted = tf.tidy(() => labelLogProbabilitiesComposed({ hidden, table, bias, targets }))
      expect(await difference(got, wanted)).toBeLessThan(2e-5)
      tf.dispose([hidden, table, bias, got, wanted])
    })
  }
}

test('logits far beyond the range of the exponential give a finite loss and gradient', async () => {
  const { hidden, table, targets, weights } = example(4, 8, 32, 9)
  const large = tf.mul<tf.Tensor2D>(table, 1000)
  const { value, grad } = tf.valueAndGrad((h: tf.Tensor) => labelLossFused({ hidden: h as tf.Tensor2D, table: large, targets, weights }))(
    hidden
  )
  expect((await value.data()).every(Number.isFinite)).toBe(true)
  expect((await grad.data()).every(Number.isFinite)).toBe(true)
  tf.dispose([hidden, table, large, value, grad])
})

test('the gradient equals finite differences', async () => {
  const { hidden, table, targets, weights } = example(3, 8, 20, 4)
  const loss = (h: tf.Tensor): tf.Tensor => labelLossFused({ hidden: h as tf.Tensor2D, table, targets, weights })
  const gradient = tf.grad(loss)(hidden)
  const slopes = await gradient.data()
  const step = 1e-2
  for (const at of [0, 7, 11, 23]) {
    const nudge = tf.tensor2d(
      Float32Array.from({ length: 24 }, (_, i) => (i === at ? step : 0)),
      [3, 8]
    )
    const slope = tf.tidy(() => tf.div(tf.sub(loss(tf.add(hidden, nudge)), loss(tf.sub(hidden, nudge))), 2 * step))
    expect((await slope.data())[0]).toBeCloseTo(slopes[at] as number, 3)
    tf.dispose([nudge, slope])
  }
  tf.dispose([hidden, table, gradient])
})

test('a frozen table costs one product more than the loss, and nothing at the end', () => {
  const { hidden, table, targets, weights } = example(4, 8, 16, 2)
  const run = runner()
  const before = run.dispatches
  const { value, gradients } = valueAndGradients(() => labelLossFused({ hidden, table, targets, weights }), [hidden])
  expect(run.dispatches - before).toBe(5)
  tf.dispose([hidden, table, value, gradients])
})

test('a loss without gradients computes none', () => {
  const { hidden, table, targets, weights } = example(4, 8, 16, 2)
  const run = runner()
  const before = run.dispatches
  labelLossFused({ hidden, table, targets, weights }).dispose()
  expect(run.dispatches - before).toBe(3)
  tf.dispose([hidden, table])
})

test('logits exist for a part of the rows at a time', async () => {
  const { hidden, table, targets, weights } = example(96, 32, 512, 3)
  const meter = new MemoryMeter()
  const held = (logitsBytes: number): number => {
    meter.reset()
    const before = meter.bytes
    const { value, gradients } = valueAndGradients(() => labelLossFused({ hidden, table, targets, weights }, logitsBytes), [hidden, table])
    runner().flush()
    tf.dispose([value, gradients])
    return meter.peak - before
  }
  const [whole, parts] = [held(96 * 512 * 4), held(32 * 512 * 4)]
  expect(whole - parts).toBeGreaterThanOrEqual(32 * 512 * 4)
  tf.dispose([hidden, table])
})
