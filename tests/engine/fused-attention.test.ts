// Fused attention against its composed form over many shapes, and against finite differences.
import * as tf from '@tensorflow/tfjs'
import { beforeAll, expect, test } from 'vitest'
import { attentionComposed, type AttentionInputs } from '../../src/engine/kernels/attention'
import { attentionFused } from '../../src/engine/kernels/webgpu/attention'
import type { TeamKind } from '../../src/engine/kernels/webgpu/attentionParts'
import { runner } from '../../src/engine/kernels/webgpu/run'
import { expectSame, normal, startFused, stream } from './fusedHarness'

beforeAll(startFused)

type Shape = Omit<AttentionInputs, 'query' | 'key' | 'value' | 'prefix' | 'lengths'>

const plain = { batch: 2, queryTime: 7, keyTime: 7, heads: 4, keyValueHeads: 4, headSize: 8, scale: 0.35 }

const CASES: { name: string; shape: Shape; lengths: number[]; prefix?: number }[] = [
  { name: 'right-padded rows', shape: plain, lengths: [7, 4] },
  { name: 'grouped heads', shape: { ...plain, keyValueHeads: 2 }, lengths: [5, 7] },
  { name: 'an odd head size', shape: { ...plain, headSize: 6, heads: 2, keyValueHeads: 1 }, lengths: [7, 6] },
  { name: 'a window', shape: { ...plain, window: 3 }, lengths: [7, 5] },
  { name: 'a prefix', shape: { ...plain, heads: 2, keyValueHeads: 2 }, lengths: [7, 3], prefix: 5 },
  { name: 'a prefix, grouped heads and a window', shape: { ...plain, keyValueHeads: 2, window: 2 }, lengths: [6, 7], prefix: 3 },
  { name: 'shared positions', shape: { ...plain, shared: 3, batch: 3 }, lengths: [7, 4, 3] },
  {
    name: 'shared positions behind a prefix, grouped heads and a window',
    shape: { ...plain, keyValueHeads: 2, shared: 4, window: 3 },
    lengths: [7, 5],
    prefix: 2
  },
  { name: 'a single token', shape: { ...plain, queryTime: 1, keyTime: 1 }, lengths: [1, 1] },
  {
    name: 'shared positions and texts that fill no team of four, and a text that is shorter than one',
    shape: { ...plain, batch: 3, shared: 5, queryTime: 16, keyTime: 16, keyValueHeads: 1, headSize: 12 },
    lengths: [16, 6, 11]
  },
  { name: 'a window over several teams', shape: { ...plain, queryTime: 21, keyTime: 21, window: 6 }, lengths: [21, 9], prefix: 4 },
  { name: 'one new token against a cache', shape: { ...plain, queryTime: 1, keyTime: 9 }, lengths: [9, 9] },
  { name: 'new tokens in a longer cache', shape: { ...plain, queryTime: 2, queryOffset: 4, keyTime: 16 }, lengths: [6, 6], prefix: 2 },
  { name: 'more keys than a workgroup has threads', shape: { ...plain, batch: 1, queryTime: 70, keyTime: 70, headSize: 32 }, lengths: [70] }
]

function example(
  { batch, queryTime, keyTime, heads, keyValueHeads, headSize, shared = 0 }: Shape,
  prefix: number | undefined,
  seed: number
): tf.Tensor2D[] {
  const next = stream(seed)
  const width = keyValueHeads * headSize
  const tensors = [
    normal([shared + batch * (queryTime - shared), heads * headSize], next),
    normal([shared + batch * (keyTime - shared), width], next),
    normal([shared + batch * (keyTime - shared), width], next)
  ]
  if (prefix) tensors.push(normal([prefix, width], next), normal([prefix, width], next))
  return tensors as tf.Tensor2D[]
}

const call =
  (form: typeof attentionFused, shape: Shape, lengths: Int32Array) =>
  (...[query, key, value, prefixKey, prefixValue]: tf.Tensor[]): tf.Tensor =>
    form({
      ...shape,
      lengths,
      query: query as tf.Tensor2D,
      key: key as tf.Tensor2D,
      value: value as tf.Tensor2D,
      prefix: prefixKey && { key: prefixKey as tf.Tensor2D, value: prefixValue as tf.Tensor2D }
    })

/** One for the rows whose query is a real token. */
function realRows({ queryTime, keyTime, queryOffset = keyTime - queryTime, shared = 0 }: Shape, lengths: number[]): tf.Tensor2D {
  const own = (length: number) => Array.from({ length: queryTime - shared }, (_, i) => (Number(queryOffset) + shared + i < length ? 1 : 0))
  const real = [...Array<number>(shared).fill(1), ...lengths.flatMap(own)]
  return tf.tensor2d(real, [real.length, 1])
}

/** How threads may stand for heads of this size on this device. */
const teamsOf = (headSize: number): TeamKind[] => (runner().subgroups && headSize % 4 === 0 ? ['alone', 'quad'] : ['alone'])

for (const { name, shape, lengths, prefix } of CASES) {
  test(name, async () => {
    const tensors = example(shape, prefix, 11)
    const mask = realRows(shape, lengths)
    const real = Int32Array.from(lengths)
    for (const team of teamsOf(shape.headSize)) {
      const fused: typeof attentionFused = (inputs) => attentionFused(inputs, team)
      await expectSame(call(fused, shape, real), call(attentionComposed, shape, real), tensors, { mask })
    }
    tf.dispose([...tensors, mask])
  })
}

test('one new token in each of several texts, at the end of its own', async () => {
  const shape: Shape = { ...plain, batch: 3, queryTime: 1, queryOffset: 'last', keyTime: 16, keyValueHeads: 2, window: 6 }
  const tensors = example(shape, 2, 3)
  const lengths = Int32Array.of(9, 16, 3)
  const [fused, composed] = [attentionFused, attentionComposed].map((form) => call(form, shape, lengths)(...tensors))
  const expected = await composed!.data()
  ;(await fused!.data()).forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 5))
  // Its own keys are all that counts: with nothing behind them it is the same.
  const [query, key, value] = tensors as [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D]
  const alone = tf.tidy(() =>
    attentionComposed({
      ...shape,
      batch: 1,
      keyTime: 9,
      queryOffset: 8,
      lengths: Int32Array.of(9),
      query: tf.slice(query, [0, 0], [1, -1]),
      key: tf.slice(key, [0, 0], [9, -1]),
      value: tf.slice(value, [0, 0], [9, -1]),
      prefix: { key: tensors[3]!, value: tensors[4]! }
    })
  )
  ;(await alone.data()).forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 5))
  tf.dispose([...tensors, fused!, composed!, alone])
})

test('shapes drawn at random', async () => {
  const next = stream(2024)
  const draw = (low: number, high: number): number => low + Math.floor(next() * (high - low + 1))
  for (let round = 0; round < 8; round++) {
    const keyValueHeads = draw(1, 3)
    const time = draw(1, 40)
    const shape = {
      batch: draw(1, 3),
      queryTime: time,
      keyTime: time,
      keyValueHeads,
      heads: keyValueHeads * draw(1, 3),
      headSize: [4, 8, 10][draw(0, 2)]!,
      scale: 0.3,
      window: next() < 0.5 ? draw(1, time) : undefined
    }
    const lengths = Array.from({ length: shape.batch }, () => draw(1, time))
    const tensors = example(shape, next() < 0.5 ? draw(1, 9) : undefined, round)
    const mask = realRows(shape, lengths)
    const real = Int32Array.from(lengths)
    await expectSame(call(attentionFused, shape, real), call(attentionComposed, shape, real), tensors, { mask })
    tf.dispose([...tensors, mask])
  }
})

test('the gradients equal finite differences', async () => {
  const shape: Shape = { batch: 1, queryTime: 4, keyTime: 4, heads: 2, keyValueHeads: 1, headSize: 4, scale: 0.5 }
  const tensors = example(shape, 2, 5)
  const weights = normal([4, 8], stream(6))
  const loss = (...inputs: tf.Tensor[]): tf.Tensor => tf.sum(tf.mul(call(attentionFused, shape, Int32Array.of(4))(...inputs), weights))
  const gradients = tf.grads(loss)(tensors)
  const step = 1e-2
  for (const [which, tensor] of tensors.entries()) {
    const slopes = await gradients[which]!.data()
    for (const at of [0, tensor.size - 1]) {
      const nudge = tf.tensor(
        Float32Array.from({ length: tensor.size }, (_, i) => (i === at ? step : 0)),
        tensor.shape
      )
      const moved = (by: tf.Tensor): tf.Tensor[] => tensors.map((other, i) => (i === which ? by : other))
      const slope = tf.tidy(() => tf.div(tf.sub(loss(...moved(tf.add(tensor, nudge))), loss(...moved(tf.sub(tensor, nudge)))), 2 * step))
      expect((await slope.data())[0], `input ${which} at ${at}`).toBeCloseTo(slopes[at] as number, 3)
      tf.dispose([nudge, slope])
    }
  }
  tf.dispose([...tensors, weights, gradients])
})

test('it takes one dispatch forward and two back, whatever is differentiated', () => {
  const tensors = example(plain, undefined, 1)
  const run = runner()
  const before = run.dispatches
  const gradients = tf.grads(call(attentionFused, plain, Int32Array.of(7, 7)))(tensors)
  expect(run.dispatches - before).toBe(3)
  tf.dispose([...tensors, gradients])
})
