// The fused gather against its composed form: repeated, unused and shuffled rows.
import * as tf from '@tensorflow/tfjs'
import { beforeAll, expect, test } from 'vitest'
import { embedding, embeddingComposed } from '../../src/engine/kernels/embedding'
import { valueAndGradients } from '../../src/engine/kernels/gradients'
import { frozenMatrix, PackedMatrix } from '../../src/engine/kernels/packed'
import type { PackingId } from '../../src/engine/kernels/packings'
import { chainsOf, gatherFused } from '../../src/engine/kernels/webgpu/gather'
import { difference, expectSame, normal, startFused, stream } from './fusedHarness'

beforeAll(startFused)

test('chains visit every use of a row once, in order', () => {
  expect(Array.from(chainsOf(Int32Array.of(2, 0, 2, 2), 4))).toEqual([1, -1, 0, -1, 2, -1, 3, -1])
})

for (const [rows, width, count] of [
  [5, 3, 9],
  [97, 24, 40],
  [12, 8, 1]
] as const) {
  test(`${count} of ${rows} rows of ${width}`, async () => {
    const next = stream(rows)
    const table = normal([rows, width], next)
    const ids = Int32Array.from({ length: count }, () => Math.floor(next() * rows))
    await expectSame(
      (t) => gatherFused(t as tf.Tensor2D, ids),
      (t) => embeddingComposed(t as tf.Tensor2D, ids),
      [table]
    )
    table.dispose()
  })
}

test('a table that is read at both ends has the sum of both gradients', async () => {
  const next = stream(4)
  const [table, x] = [normal([9, 8], next) as tf.Tensor2D, normal([3, 8], next) as tf.Tensor2D]
  const ids = Int32Array.of(4, 4, 0)
  const loss = (gather: typeof gatherFused): tf.Scalar =>
    tf.sum(tf.square(tf.matMul(tf.add(gather(table, ids), x), table, false, true))) as tf.Scalar
  const { value, gradients } = valueAndGradients(() => loss(gatherFused), [table])
  const wanted = tf.grad(() => loss(embeddingComposed))(table)
  expect(await difference(gradients[0]!, wanted)).toBeLessThan(1e-5)
  tf.dispose([value, gradients, wanted, table, x])
})

for (const [packing, bound] of [
  ['float16', 1 / 2048],
  ['int8', 1 / 254]
] as const satisfies [PackingId, number][]) {
  test(`rows of a matrix packed as ${packing}, whole and by number`, async () => {
    for (const width of [9, 24]) {
      const table = normal([31, width], stream(width)) as tf.Tensor2D
      const values = (await table.data()) as Float32Array
      const before = tf.memory().numTensors
      const packed = frozenMatrix(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), 'F32', [31, width], packing)
      if (!(packed instanceof PackedMatrix)) throw new Error('It was not packed.')
      const whole = packed.unpack()
      expect(await difference(whole, table)).toBeLessThan(bound)
      expect(await whole.data()).toEqual(await packed.data())
      const ids = Int32Array.of(30, 0, 7, 7)
      const rows = tf.tidy(() => embedding(packed, ids))
      const expected = tf.tidy(() => embeddingComposed(packed, ids))
      expect(await rows.data()).toEqual(await expected.data())
      tf.dispose([rows, expected, whole])
      packed.dispose()
      expect(tf.memory().numTensors).toBe(before)
      table.dispose()
    }
  })
}
