// The fused linear layer against its composed form, in every mode, tile and size class.
import * as tf from '@tensorflow/tfjs'
import { beforeAll, expect, test } from 'vitest'
import { linearComposed, type WeightLayout } from '../../src/engine/kernels/linear'
import { linearFused } from '../../src/engine/kernels/webgpu/linear'
import { matmul, type MatmulMode } from '../../src/engine/kernels/webgpu/matmul'
import { runner } from '../../src/engine/kernels/webgpu/run'
import type { Tile } from '../../src/engine/kernels/webgpu/tiles'
import { difference, expectSame, normal, startFused, stream } from './fusedHarness'

beforeAll(startFused)

const SHAPES = [
  [1, 4, 4],
  [3, 24, 97],
  [16, 24, 32],
  [37, 33, 18],
  [70, 68, 132]
] as const

test('a product has the same bits before and after its large tile is compiled', async () => {
  const run = runner()
  const next = stream(8)
  const left = normal([208, 36], next)
  const right = normal([208, 36], next)
  const once = async (): Promise<Float32Array> => {
    const output = tf.zeros([208, 208])
    matmul(run, { mode: 'NT', output, left, right, rows: 208, columns: 208, depth: 36 })
    const values = (await output.data()).slice() as Float32Array
    output.dispose()
    return values
  }
  const first = await once()
  const large = run.compiledPrograms
  await expect.poll(() => run.compiledPrograms, { timeout: 60_000 }).toBeGreaterThan(large)
  expect(await once()).toEqual(first)
  tf.dispose([left, right])
})

for (const layout of ['outIn', 'inOut'] as const satisfies WeightLayout[]) {
  for (const [rows, width, out] of SHAPES) {
    test(`${layout} ${rows} x ${width} x ${out}, with bias and residual and without`, async () => {
      const next = stream(rows * 1000 + out)
      const x = normal([rows, width], next)
      const weight = normal(layout === 'outIn' ? [out, width] : [width, out], next)
      const bias = normal([out], next)
      const residual = normal([rows, out], next)
      type Rest = { bias?: tf.Tensor1D; residual?: tf.Tensor2D }
      const call =
        (form: typeof linearFused, names: (keyof Rest)[]) =>
        (first: tf.Tensor, second: tf.Tensor, ...rest: tf.Tensor[]): tf.Tensor =>
          form({
            x: first as tf.Tensor2D,
            weight: second as tf.Tensor2D,
            layout,
            ...Object.fromEntries(names.map((name, at) => [name, rest[at]]))
          })
      for (const names of [[], ['bias'], ['residual'], ['bias', 'residual']] as (keyof Rest)[][]) {
        const rest = names.map((name) => (name === 'bias' ? bias : residual))
        await expectSame(call(linearFused, names), call(linearComposed, names), [x, weight, ...rest])
      }
      tf.dispose([x, weight, bias, residual])
    })
  }
}

test('a frozen weight costs no weight gradient', () => {
  const next = stream(5)
  const x = normal([8, 8], next) as tf.Tensor2D
  const weight = normal([8, 8], next) as tf.Tensor2D
  const run = runner()
  const before = run.dispatches
  const dx = tf.grad((y: tf.Tensor) => linearFused({ x: y as tf.Tensor2D, weight }))(x)
  expect(run.dispatches - before).toBe(2)
  tf.dispose([x, weight, dx])
})

const register = (rows: number, columns: number): Tile => ({ kind: 'register', rows, columns, groupRows: 2, groupColumns: 8 })
const TILES: Tile[] = [{ kind: 'workgroup' }, register(16, 16), register(4, 8)]

for (const mode of ['NT', 'NN', 'TN'] as const satisfies MatmulMode[]) {
  test(`every tile gives the same ${mode} product`, async () => {
    const run = runner()
    for (const [rows, columns, depth] of [
      [65, 70, 35],
      [128, 72, 20]
    ] as const) {
      const next = stream(rows)
      const left = normal(mode === 'TN' ? [depth, rows] : [rows, depth], next) as tf.Tensor2D
      const right = normal(mode === 'NT' ? [columns, depth] : [depth, columns], next) as tf.Tensor2D
      const expected: tf.Tensor = tf.matMul(left, right, mode === 'TN', mode === 'NT')
      for (const tile of mode === 'TN' ? TILES : [...TILES, register(1, 4)]) {
        const output = normal([rows, columns], next)
        matmul(run, { mode, output, left, right, rows, columns, depth, tile })
        expect(await difference(output, expected), JSON.stringify(tile)).toBeLessThan(1e-5)
        output.dispose()
      }
      tf.dispose([left, right, expected])
    }
  })
}
