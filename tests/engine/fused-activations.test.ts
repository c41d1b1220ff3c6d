// The fused activations and rotary turn against their composed forms, at sizes that are whole quads and not.
import * as tf from '@tensorflow/tfjs'
import { beforeAll, expect, test } from 'vitest'
import { geluComposed } from '../../src/engine/kernels/gelu'
import { rotaryComposed } from '../../src/engine/kernels/rotary'
import { swigluComposed } from '../../src/engine/kernels/swiglu'
import { geluFused } from '../../src/engine/kernels/webgpu/gelu'
import { rotaryFused } from '../../src/engine/kernels/webgpu/rotary'
import { runner } from '../../src/engine/kernels/webgpu/run'
import { swigluFused } from '../../src/engine/kernels/webgpu/swiglu'
import { expectSame, normal, startFused, stream } from './fusedHarness'

beforeAll(startFused)

for (const [rows, width] of [
  [3, 7],
  [5, 24],
  [40, 130]
] as const) {
  test(`swiglu and gelu of ${rows} x ${width}`, async () => {
    const next = stream(rows)
    const x = normal([rows, width], next, 2)
    const up = normal([rows, width], next)
    const gated =
      (form: typeof swigluFused) =>
      (...[a, b]: tf.Tensor[]): tf.Tensor =>
        form(a as tf.Tensor2D, b as tf.Tensor2D)
    await expectSame(gated(swigluFused), gated(swigluComposed), [x, up])
    for (const kind of ['erf', 'tanh'] as const) {
      await expectSame(
        (a) => geluFused(a as tf.Tensor2D, kind),
        (a) => geluComposed(a as tf.Tensor2D, kind),
        [x]
      )
    }
    tf.dispose([x, up])
  })
}

test('large values of either sign give finite results and gradients', async () => {
  const x = tf.tensor2d([-1e4, -200, -89, 0, 89, 200, 1e4, 30], [2, 4])
  for (const form of [(a: tf.Tensor) => geluFused(a as tf.Tensor2D, 'tanh'), (a: tf.Tensor) => geluFused(a as tf.Tensor2D, 'erf')]) {
    const [y, dx] = [form(x), tf.grad(form)(x)]
    expect(Array.from(await y.data())).toEqual([0, 0, 0, 0, 89, 200, 1e4, 30].map((value) => expect.closeTo(value, 3) as number))
    expect(Array.from(await dx.data())).toEqual([0, 0, 0, 0.5, 1, 1, 1, 1].map((value) => expect.closeTo(value, 5) as number))
    tf.dispose([y, dx])
  }
  const ones = tf.onesLike(x)
  const [y, dx] = [swigluFused(x, ones), tf.grad((a: tf.Tensor) => swigluFused(a as tf.Tensor2D, ones))(x)]
  expect(Array.from(await y.data())).toEqual([0, 0, 0, 0, 89, 200, 1e4, 30].map((value) => expect.closeTo(value, 3) as number))
  expect((await dx.data()).every(Number.isFinite)).toBe(true)
  tf.dispose([x, ones, y, dx])
})

test('both gradients of swiglu take one dispatch', () => {
  const next = stream(1)
  const [gate, up] = [normal([4, 4], next), normal([4, 4], next)]
  const run = runner()
  const before = run.dispatches
  const gradients = tf.grads((a: tf.Tensor, b: tf.Tensor) => swigluFused(a as tf.Tensor2D, b as tf.Tensor2D))([gate, up])
  expect(run.dispatches - before).toBe(2)
  tf.dispose([gate, up, gradients])
})

for (const [name, shape] of [
  ['whole heads', { batch: 2, time: 5, heads: 3, headSize: 16, dimensions: 16, offset: 0 }],
  ['the front of each head', { batch: 2, time: 4, heads: 2, headSize: 16, dimensions: 8, offset: 3 }],
  ['positions that rows share', { batch: 3, time: 5, shared: 2, heads: 2, headSize: 8, dimensions: 8, offset: 1 }],
  ['odd halves', { batch: 1, time: 7, heads: 2, headSize: 10, dimensions: 6, offset: 2 }]
] as const) {
  test(`rotary turns ${name}`, async () => {
    const next = stream(shape.headSize)
    const { batch, time, heads, headSize, dimensions, offset } = shape
    const shared = 'shared' in shape ? shape.shared : 0
    const rows = shared + batch * (time - shared)
    const query = normal([rows, heads * headSize], next)
    const key = normal([rows, headSize], next)
    const angles = normal([offset + time, dimensions / 2], next)
    const table = { cosine: tf.cos(angles) as tf.Tensor2D, sine: tf.sin(angles) as tf.Tensor2D }
    await expectSame(
      (...states) => tf.concat(rotaryFused(states as tf.Tensor2D[], table, { ...shape, heads: [heads, 1] }), 1),
      (a, b) =>
        tf.concat([rotaryComposed(a as tf.Tensor2D, table, shape), rotaryComposed(b as tf.Tensor2D, table, { ...shape, heads: 1 })], 1),
      [query, key]
    )
    tf.dispose([query, key, angles, table])
  })
}
