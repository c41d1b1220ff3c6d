// Products and losses that read packed matrices, against float32: bounds of the forward pass, and exact gradients where nothing was rounded.
import * as tf from '@tensorflow/tfjs'
import { beforeAll, expect, test } from 'vitest'
import { labelLoss, labelLossComposed, labelLogProbabilities } from '../../src/engine/kernels/labelLoss'
import { linear, linearComposed, type WeightLayout } from '../../src/engine/kernels/linear'
import { frozenMatrix, PackedMatrix, type FrozenMatrix } from '../../src/engine/kernels/packed'
import { matrixBytes, type PackingId } from '../../src/engine/kernels/packings'
import { difference, expectSame, normal, startFused, stream } from './fusedHarness'

beforeAll(startFused)

async function pack(matrix: tf.Tensor, packing: PackingId): Promise<PackedMatrix> {
  const values = (await matrix.data()) as Float32Array
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  const packed = frozenMatrix(bytes, 'F32', matrix.shape as [number, number], packing)
  if (!(packed instanceof PackedMatrix)) throw new Error('It was not packed.')
  return packed
}

/**
 * How far a product of random numbers may be off, relative to its largest number. Float16 rounds each weight by up to 1 part in 2048, 2e-4 in the mean
 * square; log-probabilities, which sum over a vocabulary, stay within 2e-4. Int8 rounds to 1/254 of the row's largest weight, which adds up to 0.6 % here.
 */
const BOUNDS = [
  ['float16', 3e-4],
  ['int8', 1e-2]
] as const satisfies [PackingId, number][]

const SHAPES = [
  [37, 33, 18],
  [70, 68, 131]
] as const

for (const layout of ['outIn', 'inOut'] as const satisfies WeightLayout[]) {
  for (const [rows, width, out] of SHAPES) {
    test(`${layout} ${rows} x ${width} x ${out}`, async () => {
      const next = stream(rows * 100 + out)
      const x = normal([rows, width], next) as tf.Tensor2D
      const bias = normal([out], next) as tf.Tensor1D
      const weight = normal(layout === 'outIn' ? [out, width] : [width, out], next)
      const exact = linearComposed({ x, weight: weight as tf.Tensor2D, layout, bias })
      for (const [packing, bound] of BOUNDS) {
        const packed = await pack(weight, packing)
        const widened = packed.unpack()
        const call =
          (form: typeof linear, matrix: FrozenMatrix) =>
          (input: tf.Tensor, offset: tf.Tensor): tf.Tensor =>
            form({ x: input as tf.Tensor2D, weight: matrix, layout, bias: offset as tf.Tensor1D })
        const got = call(linear, packed)(x, bias)
        expect(await difference(got, exact), packing).toBeLessThan(bound)
        // The packed numbers are float32 numbers: against those both passes differ by the order of addition alone.
        await expectSame(call(linear, packed), call(linearComposed, widened), [x, bias])
        const gradients = [packed, widened].map((matrix) => tf.grad((input: tf.Tensor) => call(linear, matrix)(input, bias))(x))
        expect(await gradients[0]!.data()).toEqual(await gradients[1]!.data())
        tf.dispose([got, widened, gradients])
        packed.dispose()
      }
      tf.dispose([x, bias, weight, exact])
    })
  }
}

for (const [packing, bound] of [
  ['float16', 2e-4],
  ['int8', 1e-2]
] as const satisfies [PackingId, number][]) {
  test(`the loss over a vocabulary that is packed as ${packing}`, async () => {
    const next = stream(11)
    const [rows, width, vocabulary] = [13, 22, 301]
    const hidden = normal([rows, width], next)
    const table = normal([vocabulary, width], next)
    const packed = await pack(table, packing)
    const widened = packed.unpack()
    const targets = Int32Array.from({ length: rows }, () => Math.floor(next() * vocabulary))
    const weights = new Float32Array(rows).fill(1 / rows)
    const call =
      (form: typeof labelLoss, matrix: FrozenMatrix) =>
      (h: tf.Tensor): tf.Tensor =>
        form({ hidden: h as tf.Tensor2D, table: matrix, targets, weights })
    await expectSame(call(labelLoss, packed), call(labelLossComposed, widened), [hidden])
    const [got, exact] = [packed, table as tf.Tensor2D].map((matrix) =>
      labelLogProbabilities({ hidden: hidden as tf.Tensor2D, table: matrix, targets })
    )
    expect(await difference(got!, exact!)).toBeLessThan(bound)
    tf.dispose([hidden, table, widened, got!, exact!])
    packed.dispose()
  })
}

test('a file of bfloat16 is read as it is', async () => {
  const halves = Uint16Array.from({ length: 60 }, (_, i) => 0x3c00 + 91 * i + (i % 2) * 0x8000)
  const bytes = new Uint8Array(halves.buffer)
  const packed = frozenMatrix(bytes, 'BF16', [6, 10], 'bfloat16')
  const plain = frozenMatrix(bytes, 'BF16', [6, 10])
  const x = normal([5, 10], stream(3)) as tf.Tensor2D
  const [got, expected] = [packed, plain].map((weight) => linear({ x, weight }))
  expect(await got!.data()).toEqual(await expected!.data())
  tf.dispose([x, got!, expected!])
  packed.dispose()
  plain.dispose()
})

test("GPT-2's embedding fits into the smallest binding that WebGPU promises, and its bytes are told before it is there", async () => {
  expect(matrixBytes([50257, 768])).toBeGreaterThan(128 * 2 ** 20)
  expect(matrixBytes([50257, 768], 'float16')).toBeLessThan(128 * 2 ** 20)
  const packed = await pack(normal([7, 10], stream(2)), 'float16')
  expect(packed.bytes).toBe(matrixBytes([7, 10], 'float16'))
  packed.dispose()
})
