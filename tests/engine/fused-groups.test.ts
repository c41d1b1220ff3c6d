// Several products in one dispatch: bit for bit what one after the other gives, in every mode and tile.
import * as tf from '@tensorflow/tfjs'
import { beforeAll, expect, test } from 'vitest'
import { webGpuFault } from '../../src/engine/device/webgpu'
import { matmul, matmulGroup, type MatmulMode, type MatmulPart } from '../../src/engine/kernels/webgpu/matmul'
import { linear } from '../../src/engine/kernels/linear'
import { linearGroup } from '../../src/engine/kernels/linearGroup'
import { frozenMatrix, PackedMatrix } from '../../src/engine/kernels/packed'
import { runner } from '../../src/engine/kernels/webgpu/run'
import type { Tile } from '../../src/engine/kernels/webgpu/tiles'
import { difference, expectSame, normal, startFused, stream } from './fusedHarness'

beforeAll(startFused)

const REGISTERS: Tile = { kind: 'register', rows: 4, columns: 8, groupRows: 2, groupColumns: 4 }
const QUADS: Tile = { kind: 'quad', rows: 8, columns: 8, groupRows: 2, groupColumns: 4 }
const THIN_QUADS: Tile = { kind: 'quad', rows: 4, columns: 8, groupRows: 2, groupColumns: 2 }

/** Parts of these own sizes along the dimension that the mode splits; the two others are shared. */
function makeParts(mode: MatmulMode, own: readonly number[], [first, second]: readonly [number, number], biased: boolean): MatmulPart[] {
  const next = stream(own.length)
  const sizesOf = (size: number): [rows: number, columns: number, depth: number] =>
    mode === 'NT' ? [first, size, second] : mode === 'NN' ? [first, second, size] : [size, first, second]
  let left: tf.Tensor | undefined
  let right: tf.Tensor | undefined
  let output: tf.Tensor | undefined
  return own.map((size) => {
    const [rows, columns, depth] = sizesOf(size)
    if (mode !== 'NT' || !left) left = normal(mode === 'TN' ? [depth, rows] : [rows, depth], next)
    if (mode !== 'TN' || !right) right = normal(mode === 'NT' ? [columns, depth] : [depth, columns], next)
    if (mode !== 'NN' || !output) output = tf.zeros([rows, columns])
    return { rows, columns, depth, left, right, output, ...(biased ? { bias: normal([columns], next) } : {}) }
  })
}

async function valuesOf(parts: readonly MatmulPart[]): Promise<Float32Array[]> {
  const outputs = [...new Set(parts.map(({ output }) => output as tf.Tensor))]
  return Promise.all(outputs.map(async (output) => (await output.data()).slice() as Float32Array))
}

function oneByOne(mode: MatmulMode, parts: readonly MatmulPart[], tile: Tile): void {
  const run = runner()
  let before: tf.TensorInfo | undefined
  parts.forEach((part, at) => {
    const output = mode === 'NN' && at < parts.length - 1 ? tf.zeros([part.rows, part.columns]) : part.output
    matmul(run, { ...part, mode, output, residual: before, tile })
    if (mode === 'NN') before = output
  })
}

for (const mode of ['NT', 'NN', 'TN'] as const satisfies MatmulMode[]) {
  test(`${mode}: two and three products, with sizes that are whole quads and that are not`, async () => {
    for (const [tile, own, shared] of [
      [REGISTERS, [72, 20, 68], [68, 36]],
      [REGISTERS, [17, 30], [9, 21]],
      [QUADS, [72, 20, 68], [68, 36]],
      [QUADS, [17, 30], [9, 21]],
      [{ kind: 'workgroup' }, [70, 17, 66], [68, 35]]
    ] as const satisfies [Tile, number[], [number, number]][]) {
      const parts = makeParts(mode, own, shared, mode === 'NT' && own.length === 2)
      oneByOne(mode, parts, tile)
      const expected = await valuesOf(parts)
      const before = runner().dispatches
      matmulGroup(runner(), mode, parts, { tile })
      expect(runner().dispatches - before).toBe(1)
      expect(await valuesOf(parts), `${tile.kind} ${own.join()}`).toEqual(expected)
      tf.dispose(parts as unknown as tf.TensorContainer)
    }
    expect(webGpuFault()).toBeUndefined()
  })
}

for (const mode of ['NT', 'NN', 'TN'] as const satisfies MatmulMode[]) {
  test(`${mode}: products that share nothing, scaled and added to what is there`, async () => {
    for (const tile of [REGISTERS, QUADS, THIN_QUADS, { kind: 'workgroup' }] as const satisfies Tile[]) {
      const parts = [17, 36, 70].map(
        (own, at) => makeParts(mode, [own], [[68, 36] as const, [21, 8] as const, [9, 5] as const][at]!, false)[0]!
      )

      const begun = parts.map(({ rows, columns }) => normal([rows, columns], stream(rows)))
      const outputs = (): MatmulPart[] => parts.map((part, at) => ({ ...part, output: tf.mul(begun[at]!, 1) }))

      const alone = outputs()
      for (const part of alone) matmul(runner(), { ...part, mode, tile, onto: true, scale: 0.3 })
      const together = outputs()
      const before = runner().dispatches
      matmulGroup(runner(), mode, together, { tile, arrangement: 'apart', onto: true, scale: 0.3 })
      expect(runner().dispatches - before).toBe(1)
      expect(await valuesOf(together), tile.kind).toEqual(await valuesOf(alone))
      const [first] = parts as [MatmulPart]
      const product = tf.matMul(first.left as tf.Tensor2D, first.right as tf.Tensor2D, mode === 'TN', mode === 'NT')
      const expected = tf.add(tf.mul(product, 0.3), begun[0]!)
      expect(await difference(together[0]!.output as tf.Tensor, expected)).toBeLessThan(1e-5)
      tf.dispose([begun, product, expected, alone, together] as unknown as tf.TensorContainer)
    }
    expect(webGpuFault()).toBeUndefined()
  })
}

test('terms of a sum that is there already are added in the order of one after the other', async () => {
  for (const tile of [REGISTERS, QUADS, { kind: 'workgroup' }] as const satisfies Tile[]) {
    const parts = makeParts('NN', [28, 36, 9], [40, 44], false)
    const begun = normal([40, 44], stream(5))
    const onto = (): MatmulPart[] => {
      const output = tf.mul(begun, 1)
      return parts.map((part) => ({ ...part, output }))
    }
    const [alone, together] = [onto(), onto()]
    for (const part of alone) matmul(runner(), { ...part, mode: 'NN', tile, onto: true })
    matmulGroup(runner(), 'NN', together, { tile, onto: true })
    expect(await valuesOf(together), tile.kind).toEqual(await valuesOf(alone))
    tf.dispose([begun, parts, alone, together] as unknown as tf.TensorContainer)
  }
})

for (const mode of ['NT', 'NN'] as const) {
  test(`${mode}: a packed matrix and a plain one as terms beside bias and residual`, async () => {
    const next = stream(12)
    const [rows, columns] = [40, 36]
    const sides = (depth: number): [number, number] => (mode === 'NT' ? [columns, depth] : [depth, columns])
    const values = Float32Array.from({ length: 28 * columns }, () => next() - 0.5)
    const matrix = frozenMatrix(new Uint8Array(values.buffer), 'F32', sides(28), 'float16')
    if (!(matrix instanceof PackedMatrix)) throw new Error('WebGPU packs.')
    const [bias, residual] = [normal([columns], next), normal([rows, columns], next)]
    const terms = [
      { left: normal([rows, 28], next), right: matrix.words, packing: matrix.packing, bias, rows, columns, depth: 28 },
      { left: normal([rows, 8], next), right: normal(sides(8), next), rows, columns, depth: 8 }
    ]
    for (const tile of [REGISTERS, QUADS, { kind: 'workgroup' }] as const satisfies Tile[]) {
      const [alone, together] = [tf.zeros([rows, columns]), tf.zeros([rows, columns])]
      matmul(runner(), { ...terms[0]!, mode, tile, output: alone, residual })
      matmul(runner(), { ...terms[1]!, mode, tile, output: alone, onto: true })
      const options = { tile, arrangement: 'terms', residual } as const
      const before = runner().dispatches
      matmulGroup(
        runner(),
        mode,
        terms.map((term) => ({ ...term, output: together })),
        options
      )
      expect(runner().dispatches - before).toBe(1)
      expect(await together.data(), tile.kind).toEqual(await alone.data())
      tf.dispose([alone, together])
    }
    matrix.dispose()
    tf.dispose([bias, residual, ...terms.flatMap(({ left, right }) => [left, right])])
  })
}

test('a group has the same bits before and after its program is compiled, and then takes one dispatch', async () => {
  const run = runner()
  const parts = makeParts('NN', [28, 36], [40, 44], false)
  const measure = async (): Promise<{ dispatches: number; values: Float32Array[] }> => {
    const before = run.dispatches
    matmulGroup(run, 'NN', parts)
    return { dispatches: run.dispatches - before, values: await valuesOf(parts) }
  }
  const first = await measure()
  expect(first.dispatches).toBe(2)
  let last = first
  await expect.poll(async () => (last = await measure()).dispatches, { timeout: 60_000 }).toBe(1)
  expect(last.values).toEqual(first.values)
  tf.dispose(parts as unknown as tf.TensorContainer)
})

for (const biased of [false, true]) {
  test(`layers of one input${biased ? ' with biases' : ''} give what each gives alone, forward and backward`, async () => {
    const next = stream(9)
    const x = normal([13, 12], next)
    const weights = [16, 8, 8].map((out) => normal([out, 12], next))
    const biases = biased ? [16, 8, 8].map((out) => normal([out], next)) : []
    const alone = (input: tf.Tensor, ...rest: tf.Tensor[]): tf.Tensor =>
      tf.concat(
        [0, 1, 2].map((at) =>
          linear({ x: input as tf.Tensor2D, weight: rest[at] as tf.Tensor2D, bias: rest[3 + at] as tf.Tensor1D | undefined })
        ),
        1
      )
    const together = (input: tf.Tensor, ...rest: tf.Tensor[]): tf.Tensor => {
      const given = { x: input as tf.Tensor2D, weights: rest.slice(0, 3) as tf.Tensor2D[] }
      return tf.concat(linearGroup(biased ? { ...given, biases: rest.slice(3) as tf.Tensor1D[] } : given), 1)
    }
    await expectSame(together, alone, [x, ...weights, ...biases])
    tf.dispose([x, ...weights, ...biases])
  })
}

test('packed layers of one input are read together', async () => {
  const next = stream(4)
  const x = normal([9, 20], next) as tf.Tensor2D
  const bytes = [24, 8].map((out) => new Uint8Array(Float32Array.from({ length: out * 20 }, () => next() - 0.5).buffer))
  const packed = bytes.map((one, at) => frozenMatrix(one, 'F32', [[24, 8][at]!, 20], 'float16'))
  const [gate, up] = linearGroup({ x, weights: packed })
  const [first, second] = packed.map((weight) => linear({ x, weight }))
  expect(await difference(gate!, first!)).toBeLessThan(1e-6)
  expect(await difference(up!, second!)).toBeLessThan(1e-6)
  tf.dispose([x, gate!, up!, first!, second!])
  packed.forEach((matrix) => matrix.dispose())
})
