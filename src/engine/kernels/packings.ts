// How a packed matrix writes its numbers into 32-bit words: one row per packing, its host side and its WGSL side together.
import { bfloat16ToFloat32, float16ToFloat32, float32ToFloat16 } from '../halfFloats'

/**
 * `float16` and `bfloat16` hold a file's own numbers without loss, and float16 those of a wider file to 1 part in 2048. `int8` holds a row as whole
 * numbers from -127 to 127 times the largest magnitude of the row over 127: an error of at most 1/254 of that magnitude.
 */
export type PackingId = 'float16' | 'bfloat16' | 'int8'

/** What a file's numbers may be. */
export type StoredDtype = 'F32' | 'F16' | 'BF16'

interface Packing {
  /** The dtype that is taken over bit by bit. */
  same?: StoredDtype
  bitsPerNumber: 16 | 8
  /** Words in front of a row's numbers. */
  rowHeader: number
  /** Writes one row into its words, which are zero; undefined where no other dtype is rounded to this packing. */
  encode?(row: Float32Array, words: Int32Array): void
  /** The words of one row as numbers, those of the padding among them. */
  decode(words: Int32Array): Float32Array
  /** What WGSL reads at once, and the expression for quad `quad` of row `line` of the matrix `name`, whose rows have `quads` quads. */
  element: 'vec2<u32>' | 'u32'
  read(name: string, line: string, quad: string, quads: string): { words: string; value: string }
}

const halvesOf = (words: Int32Array): Uint16Array => new Uint16Array(words.buffer, words.byteOffset, 2 * words.length)
const scaleOf = (words: Int32Array): Float32Array => new Float32Array(words.buffer, words.byteOffset, 1)
const pairs = (name: string, line: string, quad: string, quads: string): string => `${name}[${line} * ${quads} + ${quad}]`

/** Every row is padded to whole quads: four neighbours are always one read, whatever the width. */
export const PACKINGS: Record<PackingId, Packing> = {
  float16: {
    same: 'F16',
    bitsPerNumber: 16,
    rowHeader: 0,
    encode: (row, words) => halvesOf(words).set(float32ToFloat16(row)),
    decode: (words) => float16ToFloat32(halvesOf(words)),
    element: 'vec2<u32>',
    read: (...place) => ({ words: pairs(...place), value: 'vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y))' })
  },
  bfloat16: {
    same: 'BF16',
    bitsPerNumber: 16,
    rowHeader: 0,
    decode: (words) => bfloat16ToFloat32(halvesOf(words)),
    element: 'vec2<u32>',
    read: (...place) => ({
      words: pairs(...place),
      value: 'bitcast<vec4<f32>>(vec4<u32>(words.x << 16u, words.x & 0xffff0000u, words.y << 16u, words.y & 0xffff0000u))'
    })
  },
  int8: {
    bitsPerNumber: 8,
    // The row's scale, a float32: in the row itself, so that the matrix is one buffer.
    rowHeader: 1,
    encode(row, words) {
      const largest = row.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
      const scale = scaleOf(words)
      scale[0] = largest / 127
      const wholes = new Int8Array(words.buffer, words.byteOffset + 4)
      // A row so small that its scale underflows is zero.
      if (scale[0] !== 0) row.forEach((value, i) => (wholes[i] = Math.round((127 * value) / largest)))
    },
    decode: (words) =>
      Float32Array.from(new Int8Array(words.buffer, words.byteOffset + 4, 4 * (words.length - 1)), (whole) => whole * scaleOf(words)[0]!),
    element: 'u32',
    read: (name, line, quad, quads) => ({
      words: `vec2<u32>(${name}[${line} * (${quads} + 1u)], ${name}[${line} * (${quads} + 1u) + 1u + ${quad}])`,
      // The lowest byte comes first; shifted up and back down, each keeps its sign.
      value: 'bitcast<f32>(words.x) * vec4<f32>(bitcast<vec4<i32>>(vec4<u32>(words.y) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u))'
    })
  }
}

/** 32-bit words of one row. */
export function wordsPerRow(packing: PackingId, columns: number): number {
  const { rowHeader, bitsPerNumber } = PACKINGS[packing]
  return rowHeader + (Math.ceil(columns / 4) * bitsPerNumber) / 8
}

/** Bytes on the device of a matrix in a packing, or in float32 where there is none. */
export function matrixBytes([rows, columns]: readonly [number, number], packing?: PackingId): number {
  return 4 * rows * (packing ? wordsPerRow(packing, columns) : columns)
}

/**
 * A matrix's bytes, row by row as they lie in a file (little-endian), in the words of a packing.
 * @param shape `[rows, columns]`
 * @throws RangeError where a number is not finite in the packing: what only float32 or bfloat16 can hold
 */
export function packWords(bytes: Uint8Array, dtype: StoredDtype, shape: readonly [number, number], packing: PackingId): Int32Array {
  const [rows, columns] = shape
  const { same, encode } = PACKINGS[packing]
  const width = wordsPerRow(packing, columns)
  const bytesPerRow = columns * (dtype === 'F32' ? 4 : 2)
  if (bytes.length !== rows * bytesPerRow) {
    throw new RangeError(`A matrix of ${rows} x ${columns} has ${rows * bytesPerRow} bytes as ${dtype}, not ${bytes.length}.`)
  }
  const copied = dtype === same
  // What lies as it should is handed on without a copy.
  if (copied && columns % 4 === 0 && bytes.byteOffset % 4 === 0) return new Int32Array(bytes.buffer, bytes.byteOffset, rows * width)
  if (!copied && !encode) throw new RangeError(`${dtype} is not rounded to ${packing}.`)
  const words = new Int32Array(rows * width)
  for (let row = 0; row < rows; row++) {
    const source = bytes.subarray(row * bytesPerRow, (row + 1) * bytesPerRow)
    const into = words.subarray(row * width, (row + 1) * width)
    if (copied) new Uint8Array(into.buffer, into.byteOffset, into.byteLength).set(source)
    else {
      encode!(widened(source, dtype), into)
      if (!PACKINGS[packing].decode(into).every(Number.isFinite))
        throw new RangeError(`Row ${row} has a number that ${packing} cannot hold.`)
    }
  }
  return words
}

/** The numbers of packed words, `[rows, columns]` flat. */
export function unpackWords(words: Int32Array, [rows, columns]: readonly [number, number], packing: PackingId): Float32Array<ArrayBuffer> {
  const width = wordsPerRow(packing, columns)
  const values = new Float32Array(rows * columns)
  for (let row = 0; row < rows; row++) {
    values.set(PACKINGS[packing].decode(words.subarray(row * width, (row + 1) * width)).subarray(0, columns), row * columns)
  }
  return values
}

/** A copy of a file's bytes as float32. */
export function widened(bytes: Uint8Array, dtype: StoredDtype): Float32Array<ArrayBuffer> {
  const { buffer } = new Uint8Array(bytes)
  if (dtype === 'F32') return new Float32Array(buffer)
  return (dtype === 'F16' ? float16ToFloat32 : bfloat16ToFloat32)(new Uint16Array(buffer))
}
