// The composed operations against plain loops in float64, on every backend that runs them.
import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, test } from 'vitest'
import { adamwComposed } from '../../src/engine/kernels/adamw'
import { attentionComposed, type AttentionInputs } from '../../src/engine/kernels/attention'
import { gatherRowsComposed } from '../../src/engine/kernels/gatherRows'
import { geluComposed } from '../../src/engine/kernels/gelu'
import { clipScale, globalNormComposed } from '../../src/engine/kernels/globalNorm'
import { labelLogProbabilitiesComposed } from '../../src/engine/kernels/labelLoss'
import { linearComposed } from '../../src/engine/kernels/linear'
import { rotaryComposed } from '../../src/engine/kernels/rotary'
import { Random } from '../../src/engine/random'
import { backends, useBackend } from './backend'

const random = new Random(11)

function matrix(rows: number, columns: number): tf.Tensor2D {
  return tf.tensor2d(
    Float32Array.from({ length: rows * columns }, () => random.normal()),
    [rows, columns]
  )
}

async function expectClose(actual: tf.Tensor, expected: ArrayLike<number>, tolerance = 1e-5): Promise<void> {
  const values = await actual.data()
  expect(values.length).toBe(expected.length)
  const largest = Math.max(...Array.from(expected, Math.abs), 1e-6)
  for (let i = 0; i < expected.length; i++) expect(Math.abs(values[i]! - expected[i]!) / largest, `value ${i}`).toBeLessThan(tolerance)
  actual.dispose()
}

/** Attention as its definition reads, one query at a time. */
async function attentionByLoops(inputs: AttentionInputs): Promise<{ values: Float64Array; real: boolean[] }> {
  const { batch, queryTime, keyTime, heads, keyValueHeads, headSize, scale, lengths, window = Infinity } = inputs
  const offset = Number(inputs.queryOffset ?? keyTime - queryTime)
  const [query, key, value] = await Promise.all([inputs.query, inputs.key, inputs.value].map((tensor) => tensor.data()))
  const front = inputs.prefix && (await Promise.all([inputs.prefix.key.data(), inputs.prefix.value.data()]))
  const prefix = inputs.prefix?.key.shape[0] ?? 0
  const width = keyValueHeads * headSize
  const values = new Float64Array(batch * queryTime * heads * headSize)
  const real: boolean[] = []
  for (let row = 0; row < batch; row++) {
    for (let i = 0; i < queryTime; i++) {
      real.push(offset + i < lengths[row]!)
      for (let head = 0; head < heads; head++) {
        const column = Math.floor(head / (heads / keyValueHeads)) * headSize
        const at = ((row * queryTime + i) * heads + head) * headSize
        const seen: { weight: number; states: ArrayLike<number>; from: number }[] = []
        for (let j = -prefix; j <= Math.min(offset + i, lengths[row]! - 1); j++) {
          if (j <= offset + i - window) continue
          const from = (j < 0 ? j + prefix : row * keyTime + j) * width + column
          const keys = j < 0 ? front![0]! : key!
          let score = 0
          for (let d = 0; d < headSize; d++) score += query![at + d]! * keys[from + d]!
          seen.push({ weight: Math.exp(score * scale), states: j < 0 ? front![1]! : value!, from })
        }
        const total = seen.reduce((sum, { weight }) => sum + weight, 0)
        for (const { weight, states, from } of seen) {
          for (let d = 0; d < headSize; d++) values[at + d]! += (weight / total) * states[from + d]!
        }
      }
    }
  }
  return { values, real }
}

describe.each(backends)('%s', (backend) => {
  beforeAll(() => useBackend(backend))

  const shape = { batch: 2, heads: 6, keyValueHeads: 2, headSize: 5, scale: 0.4 }
  test.each<[string, Partial<AttentionInputs>, number]>([
    ['grouped heads and padding', { queryTime: 7, keyTime: 7, lengths: Int32Array.of(7, 4) }, 0],
    ['a prefix', { queryTime: 7, keyTime: 7, lengths: Int32Array.of(7, 4) }, 3],
    ['a window that counts the prefix', { queryTime: 7, keyTime: 7, lengths: Int32Array.of(7, 4), window: 4 }, 3],
    [
      'one query in a cache longer than the text',
      { queryTime: 1, keyTime: 16, queryOffset: 5, lengths: Int32Array.of(6, 6), window: 4 },
      0
    ],
    ['queries at the end of the keys', { queryTime: 3, keyTime: 9, lengths: Int32Array.of(9, 7) }, 2]
  ])('attention with %s', async (_, options, prefixLength) => {
    const { queryTime, keyTime } = options as AttentionInputs
    const keys = (rows: number): tf.Tensor2D => matrix(rows, 10)
    const inputs = {
      ...shape,
      ...options,
      query: matrix(2 * queryTime, 30),
      key: keys(2 * keyTime),
      value: keys(2 * keyTime)
    } as AttentionInputs
    if (prefixLength > 0) inputs.prefix = { key: keys(prefixLength), value: keys(prefixLength) }
    const { values, real } = await attentionByLoops(inputs)
    const mask = tf.tensor2d(real.map((row) => [row ? 1 : 0]))
    await expectClose(
      tf.mul(attentionComposed(inputs), mask),
      values.map((value, i) => (real[Math.floor(i / 30)] ? value : 0))
    )
  })

  test('the gradient of attention is its slope, prefix included', async () => {
    const fixed = { ...shape, queryTime: 4, keyTime: 4, lengths: Int32Array.of(4, 4) }
    const parts = [matrix(8, 30), matrix(8, 10), matrix(8, 10), matrix(2, 10), matrix(2, 10)]
    const weights = matrix(8, 30)
    const output = (
      query: tf.Tensor2D,
      key: tf.Tensor2D,
      value: tf.Tensor2D,
      frontKey: tf.Tensor2D,
      frontValue: tf.Tensor2D
    ): AttentionInputs => ({
      ...fixed,
      query,
      key,
      value,
      prefix: { key: frontKey, value: frontValue }
    })
    const total = (...xs: tf.Tensor[]): tf.Scalar =>
      tf.sum(tf.mul(attentionComposed(output(...(xs as Parameters<typeof output>))), weights))
    const gradients = tf.tidy(() => tf.grads(total)(parts))
    for (const [index, gradient] of gradients.entries()) {
      const direction = matrix(...parts[index]!.shape)
      const slope = (await tf.sum(tf.mul(gradient, direction)).data())[0]!
      const step = 1e-3
      const sums = await Promise.all(
        [step, -step].map(async (by) => {
          const moved = parts.map((part, i) => (i === index ? tf.add(part, tf.mul(direction, by)) : part)) as Parameters<typeof output>
          const { values } = await attentionByLoops(output(...moved))
          const coefficients = await weights.data()
          return values.reduce((sum, value, i) => sum + value * coefficients[i]!, 0)
        })
      )
      expect(Math.abs((sums[0]! - sums[1]!) / (2 * step) - slope) / Math.max(1, Math.abs(slope)), `input ${index}`).toBeLessThan(2e-3)
    }
  })

  // Wide and tall shapes, so that every way of transposing is taken.
  test.each([
    [3, 5, 7],
    [2, 9, 60],
    [60, 9, 2],
    [40, 33, 35]
  ])('linear and its gradients at %i x %i x %i', async (rows, inputs, outputs) => {
    const [x, weight, dy] = [matrix(rows, inputs), matrix(outputs, inputs), matrix(rows, outputs)]
    const [xs, weights, dys] = await Promise.all([x, weight, dy].map((tensor) => tensor.data()))
    const product = (n: number, m: number, k: number, term: (i: number, j: number, l: number) => number): number[] =>
      Array.from({ length: n * m }, (_, at) => {
        let sum = 0
        for (let l = 0; l < k; l++) sum += term(Math.floor(at / m), at % m, l)
        return sum
      })
    const y = product(rows, outputs, inputs, (i, j, l) => xs![i * inputs + l]! * weights![j * inputs + l]!)
    const dx = product(rows, inputs, outputs, (i, j, l) => dys![i * outputs + l]! * weights![l * inputs + j]!)
    const dw = product(outputs, inputs, rows, (i, j, l) => dys![l * outputs + i]! * xs![l * inputs + j]!)
    for (const layout of ['outIn', 'inOut'] as const) {
      const laid = layout === 'outIn' ? weight : tf.transpose(weight)
      const run = (a: tf.Tensor, b: tf.Tensor): tf.Tensor => linearComposed({ x: a as tf.Tensor2D, weight: b as tf.Tensor2D, layout })
      await expectClose(run(x, laid), y)
      const [gradientX, gradientWeight] = tf.tidy(() => tf.grads(run)([x, laid], dy)) as [tf.Tensor2D, tf.Tensor2D]
      await expectClose(gradientX, dx)
      await expectClose(layout === 'outIn' ? gradientWeight : tf.transpose(gradientWeight), dw)
    }
  })

  test('gathered rows give their gradients back, twice where a row came twice', async () => {
    const x = matrix(4, 3)
    const dy = tf.tensor2d([1, 2, 3, 10, 20, 30, 100, 200, 300], [3, 3])
    const gradient = tf.grad((rows: tf.Tensor) => gatherRowsComposed(rows as tf.Tensor2D, Int32Array.of(2, 0, 2)))(x, dy)
    await expectClose(gradient, [10, 20, 30, 0, 0, 0, 101, 202, 303, 0, 0, 0])
  })

  test('GELU in both forms, as PyTorch computes it', async () => {
    const x = tf.tensor2d([[-3, -1, -0.1, 0, 0.5, 2]])
    await expectClose(geluComposed(x, 'erf'), [-0.0040496, -0.1586553, -0.0460172, 0, 0.3457312, 1.9544997], 2e-6)
    await expectClose(geluComposed(x, 'tanh'), [-0.0036374, -0.158808, -0.0460172, 0, 0.345714, 1.9545976], 2e-6)
  })

  test('rotary turns the first dimensions by position and lets the rest pass', async () => {
    const angles = [0, 0.3, 0.6, 0.9]
    const table = { cosine: tf.tensor2d(angles.map(Math.cos), [4, 1]), sine: tf.tensor2d(angles.map(Math.sin), [4, 1]) }
    const x = tf.tensor2d([1, 0, 5, 0, 1, 6], [2, 3])
    const turned = rotaryComposed(x, table, { batch: 1, time: 2, heads: 1, headSize: 3, dimensions: 2, offset: 2 })
    await expectClose(turned, [Math.cos(0.6), Math.sin(0.6), 5, -Math.sin(0.9), Math.cos(0.9), 6])
  })

  test('log probabilities survive huge logits', async () => {
    const hidden = tf.tensor2d([[100], [100]])
    const table = tf.tensor2d([[10], [9], [0]])
    await expectClose(labelLogProbabilitiesComposed({ hidden, table, targets: Int32Array.of(0, 2) }), [0, -1000])
  })

  test('the global norm is that of all tensors together', () =>
    expectClose(globalNormComposed([tf.tensor1d([1, 2]), tf.tensor2d([[4], [10]]), tf.scalar(2)]), [Math.sqrt(125)]))

  test('clipping shortens what is too long and leaves the rest, and nothing where it is off', () => {
    expect(clipScale(4, 1)).toBeCloseTo(0.25, 6)
    expect(clipScale(0.5, 1)).toBe(1)
    expect(clipScale(4, 0)).toBe(1)
  })

  test('two AdamW updates follow the formulas', async () => {
    const settings = { learningRate: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 1e-3, weightDecay: 0.5 }
    const gradients = [0.3, -2, 1e-4]
    const expected = gradients.map((gradient, i) => ({ parameter: i - 1, first: 0, second: 0, gradient: gradient * 0.25 }))
    const gradient = tf.tensor1d(gradients)
    let state = { parameter: tf.tensor1d([-1, 0, 1]) as tf.Tensor, firstMoment: tf.zeros([3]), secondMoment: tf.zeros([3]) }
    for (const step of [1, 2]) {
      state = adamwComposed({ ...state, gradient, ...settings, step, gradientScale: tf.scalar(0.25) })
      for (const one of expected) {
        one.parameter *= 1 - 0.1 * 0.5
        one.first = 0.9 * one.first + 0.1 * one.gradient
        one.second = 0.99 * one.second + 0.01 * one.gradient ** 2
        one.parameter -= (0.1 * (one.first / (1 - 0.9 ** step))) / (Math.sqrt(one.second / (1 - 0.99 ** step)) + 1e-3)
      }
    }
    await expectClose(
      state.parameter,
      expected.map(({ parameter }) => parameter)
    )
    await expectClose(
      state.firstMoment,
      expected.map(({ first }) => first)
    )
    await expectClose(
      state.secondMoment,
      expected.map(({ second }) => second)
    )
  })
})
