// Packed words on the host: what float16, bfloat16 and int8 keep, and how rows are padded.
import { expect, test } from 'vitest'
import { float16ToFloat32, float32ToFloat16 } from '../../src/engine/halfFloats'
import { packWords, unpackWords, wordsPerRow } from '../../src/engine/kernels/packings'

const bytesOf = (values: Float32Array | Uint16Array): Uint8Array => new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
const spread = (count: number): Float32Array => Float32Array.from({ length: count }, (_, i) => Math.sin(i * 12.9898) * (1 + (i % 7)))

test('every float16 number but NaN is rounded to itself', () => {
  const halves = Uint16Array.from({ length: 65536 }, (_, i) => i).filter((half) => (half & 0x7fff) <= 0x7c00)
  expect(float32ToFloat16(float16ToFloat32(halves))).toEqual(halves)
})

test('float32 is rounded to the nearest float16, ties to even', () => {
  const step = 2 ** -10
  const given = Float32Array.of(1 + step / 2, 1 + 1.5 * step, 1 + 0.51 * step, 65519, 65520, 2 ** -25, 1.5 * 2 ** -24, -3e-8, NaN)
  const expected = [1, 1 + 2 * step, 1 + step, 65504, Infinity, 0, 2 ** -23, -(2 ** -24), NaN]
  expect(Array.from(float16ToFloat32(float32ToFloat16(given)))).toEqual(expected)
})

test('a file of halves is taken over without a copy where rows are whole quads, and padded where not', () => {
  const halves = float32ToFloat16(spread(24))
  const words = packWords(bytesOf(halves), 'F16', [3, 8], 'float16')
  expect(words.buffer).toBe(halves.buffer)
  expect(unpackWords(words, [3, 8], 'float16')).toEqual(float16ToFloat32(halves))
  const padded = packWords(bytesOf(halves), 'F16', [4, 6], 'float16')
  expect(padded.length).toBe(4 * wordsPerRow('float16', 6))
  expect(unpackWords(padded, [4, 6], 'float16')).toEqual(float16ToFloat32(halves))
})

test('bytes at an odd address are read all the same', () => {
  const values = spread(10)
  const shifted = new Uint8Array(values.byteLength + 1)
  shifted.set(bytesOf(values), 1)
  expect(unpackWords(packWords(shifted.subarray(1), 'F32', [2, 5], 'float16'), [2, 5], 'float16')).toEqual(
    float16ToFloat32(float32ToFloat16(values))
  )
})

test('bfloat16 is kept bit by bit and nothing else is rounded to it', () => {
  const upper = Uint16Array.from({ length: 6 }, (_, i) => 0x3f80 + 37 * i)
  const expected = Float32Array.from(new Float32Array(Uint32Array.from(upper, (half) => half << 16).buffer))
  expect(unpackWords(packWords(bytesOf(upper), 'BF16', [2, 3], 'bfloat16'), [2, 3], 'bfloat16')).toEqual(expected)
  expect(() => packWords(bytesOf(upper), 'F16', [2, 3], 'bfloat16')).toThrow('not rounded')
})

test('int8 errs by at most 1/254 of the largest magnitude of the row', () => {
  const values = spread(7 * 9)
  values.fill(0, 9, 18)
  const got = unpackWords(packWords(bytesOf(values), 'F32', [7, 9], 'int8'), [7, 9], 'int8')
  for (let row = 0; row < 7; row++) {
    const largest = Math.max(...values.subarray(row * 9, row * 9 + 9).map(Math.abs))
    for (let i = row * 9; i < row * 9 + 9; i++) expect(Math.abs(got[i]! - values[i]!)).toBeLessThanOrEqual((largest / 254) * 1.0001)
  }
})

test('a number that a packing cannot hold, and bytes of another length, are refused', () => {
  expect(() => packWords(bytesOf(Float32Array.of(1, 7e4)), 'F32', [1, 2], 'float16')).toThrow('cannot hold')
  expect(() => packWords(bytesOf(Float32Array.of(1, NaN)), 'F32', [1, 2], 'int8')).toThrow('cannot hold')
  expect(() => packWords(new Uint8Array(7), 'F16', [2, 2], 'float16')).toThrow('has 8 bytes')
})
