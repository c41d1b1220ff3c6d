// The fused gather against its composed form: repeated, unused and shuffled rows.
import type * as tf from '@tensorflow/tfjs'
import { beforeAll, expect, test } from 'vitest'
import { embeddingComposed } from '../../src/engine/kernels/embedding'
import { chainsOf, gatherFused } from '../../src/engine/kernels/webgpu/gather'
import { expectSame, normal, startFused, stream } from './fusedHarness'

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
