// The fused linear layer against its composed form, in every mode, tile and size class.
import * as tf from '@tensorflow/tfjs'
import { beforeAll, expect, test } from 'vitest'
import { linearComposed, type WeightLayout } from '../../src/engine/kernels/linear'
import { linearFused } from '../../src/engine/kernels/webgpu/linear'
import { matmul, type MatmulMode } from '../../src/engine/kernels/webgpu/matmul'
import { runner } from '../../src/engine/kernels/webgpu/run'
import { measureAll } from '../../src/engine/kernels/webgpu/tileTimer'
import { candidateIds, CANDIDATES, type Tile, type TileQuestion } from '../../src/engine/kernels/webgpu/tiles'
import { tunerOf } from '../../src/engine/kernels/webgpu/tuner'
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
  tunerOf(run).tuning = 'register16x16'
  const first = await once()
  const large = run.compiledPrograms
  await expect.poll(() => run.compiledPrograms, { timeout: 60_000 }).toBeGreaterThan(large)
  expect(await once()).toEqual(first)
  tunerOf(run).tuning = 'auto'
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

const SINGLE_ROW: Tile = { kind: 'register', rows: 1, columns: 4, groupRows: 2, groupColumns: 8 }

for (const mode of ['NT', 'NN', 'TN'] as const satisfies MatmulMode[]) {
  test(`every candidate gives the same ${mode} product as TensorFlow.js`, async () => {
    const run = runner()
    for (const [rows, columns, depth, ids] of [
      [65, 70, 35, candidateIds.filter((id) => !id.startsWith('float16'))],
      [128, 72, 20, ['register16x16', 'quad8x16', 'workgroup64x64']]
    ] as const) {
      const next = stream(rows)
      const left = normal(mode === 'TN' ? [depth, rows] : [rows, depth], next) as tf.Tensor2D
      const right = normal(mode === 'NT' ? [columns, depth] : [depth, columns], next) as tf.Tensor2D
      const expected: tf.Tensor = tf.matMul(left, right, mode === 'TN', mode === 'NT')
      const question: TileQuestion = { mode, rows, columns, depth, software: true, subgroups: run.subgroups }
      const tiles = ids.map((id) => CANDIDATES[id].tile(question)).filter((tile) => tile !== undefined)
      expect(tiles.length).toBe(ids.length)
      const values: Float32Array[] = []
      for (const tile of mode === 'TN' ? tiles : [...tiles, SINGLE_ROW]) {
        const output = normal([rows, columns], next)
        matmul(run, { mode, output, left, right, rows, columns, depth, tile })
        expect(await difference(output, expected), JSON.stringify(tile)).toBeLessThan(1e-5)
        values.push((await output.data()).slice() as Float32Array)
        output.dispose()
      }
      // Not near each other, but the same: a choice made in the middle of a run changes no number.
      for (const [at, other] of values.entries()) expect(other, `candidate ${at}`).toEqual(values[0])
      tf.dispose([left, right, expected])
    }
  })
}

test('float16 arithmetic stays within 0.1 % of a product, and is no choice for gradients, without leave or where the device lacks it', async () => {
  const run = runner()
  const tuner = tunerOf(run)
  const next = stream(12)
  const [left, right] = [normal([33, 200], next), normal([44, 200], next)]
  const product = async (forward: boolean): Promise<tf.Tensor> => {
    const output = tf.zeros([33, 44])
    matmul(run, { mode: 'NT', output, left, right, rows: 33, columns: 44, depth: 200, forward })
    await run.settled
    matmul(run, { mode: 'NT', output, left, right, rows: 33, columns: 44, depth: 200, forward })
    return output
  }
  const exact = await product(true)
  tuner.tuning = 'float16x8x8'
  expect(await difference(await product(true), exact)).toBe(0)
  tuner.float16 = true
  expect(tuner.float16).toBe(run.device.features.has('shader-f16'))
  const changed = await difference(await product(true), exact)
  expect(changed).toBeLessThan(1e-3)
  expect(changed > 0).toBe(tuner.float16)
  expect(await difference(await product(false), exact)).toBe(0)
  tuner.float16 = false
  tuner.tuning = 'auto'
})

test('the tuner measures a product between other work, and the choice changes no bit', async () => {
  const run = runner()
  const tuner = tunerOf(run)
  const next = stream(6)
  const [left, right] = [normal([40, 24], next), normal([48, 24], next)]
  const product = async (): Promise<Float32Array> => {
    const output = tf.zeros([40, 48])
    matmul(run, { mode: 'NT', output, left, right, rows: 40, columns: 48, depth: 24 })
    const values = (await output.data()).slice() as Float32Array
    output.dispose()
    return values
  }
  const usual = await product()
  const bytes = (): unknown => (tf.memory() as unknown as { numBytesInGPU: number }).numBytesInGPU
  const before = bytes()
  tuner.tuning = 'on'
  expect(await product()).toEqual(usual)
  expect(tuner.pending).toBe(1)
  await measureAll(run, (piece) => piece())
  const choice = tuner.exportChoices()['NT 64 64 32 float32']
  expect(candidateIds).toContain(choice?.candidate)
  expect(choice?.gigaflops).toBeGreaterThan(0)
  expect(await product()).toEqual(usual)
  for (const id of candidateIds) {
    tuner.tuning = id
    expect(await product()).toEqual(usual)
  }
  expect(bytes()).toBe(before)
  tuner.tuning = 'auto'
  tuner.reset()
  tf.dispose([left, right])
})
