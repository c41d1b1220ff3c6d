// Reads and writes safetensors files; nothing in a file is believed before it is checked.
import { UserError } from '../errors'
import { assertSoundJson } from './headerJson'
import { bfloat16ToFloat32, float16ToFloat32 } from '../halfFloats'

/** Bits of one number, by every dtype of the format. */
const dtypeBits = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64
} as const

export type SafetensorsDtype = keyof typeof dtypeBits

/** What is stored of one tensor beside its numbers. */
export interface StoredTensor {
  dtype: SafetensorsDtype
  shape: number[]
}

/** Where one tensor lies: `begin` and `end` are byte positions in the whole file. */
export interface SafetensorsEntry extends StoredTensor {
  begin: number
  end: number
}

export interface SafetensorsHeader {
  /** By name, in the order of the header. */
  tensors: Map<string, SafetensorsEntry>
  metadata: Record<string, string>
  /** Where the tensors' bytes begin. */
  dataBegin: number
}

export interface SafetensorsFile extends SafetensorsHeader {
  bytes: Uint8Array
}

/** The format's own limit: 100 MB. */
const maximumHeaderBytes = 100_000_000

const damaged = 'The file is damaged or not complete: fetch or save it again.'

const fail = (message: string, advice = damaged): never => {
  throw new UserError(`This safetensors file cannot be read: ${message}.`, advice)
}

/** A name from the file, quoted, and short enough to be shown. */
const quote = (name: string) => JSON.stringify(name.length > 80 ? `${name.slice(0, 79)}…` : name)

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * Bytes of the header behind the first eight, which hold that length: all that a reader of parts needs to fetch next.
 * @param start the file's first bytes, at least eight
 * @throws UserError where there are fewer than eight, or the length is over 100 MB
 */
export function safetensorsHeaderLength(start: Uint8Array): number {
  if (start.length < 8) fail(`it has ${start.length} bytes, fewer than the 8 that hold the header's length`)
  const length = new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true)
  if (length > maximumHeaderBytes) fail(`its header claims ${length} bytes, and ${maximumHeaderBytes} are allowed`)
  return Number(length)
}

/**
 * Reads and checks the header alone, so that a big file can be fetched tensor by tensor.
 * @param start the file's first bytes, at least the whole header
 * @param fileLength bytes of the whole file
 * @throws UserError naming the tensor and what is wrong with it
 * @see https://github.com/huggingface/safetensors#format
 */
export function readSafetensorsHeader(start: Uint8Array, fileLength = start.length): SafetensorsHeader {
  const headerLength = safetensorsHeaderLength(start)
  const dataBegin = 8 + headerLength
  if (dataBegin > Math.min(start.length, fileLength)) {
    fail(`its header claims ${headerLength} bytes, but only ${Math.min(start.length, fileLength) - 8} follow`)
  }
  const header = parseHeader(start.subarray(8, dataBegin))
  const tensors = new Map<string, SafetensorsEntry>()
  let metadata: Record<string, string> = {}
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') metadata = checkMetadata(value)
    else tensors.set(name, checkEntry(name, value, dataBegin, fileLength))
  }
  checkCoverage(tensors, dataBegin, fileLength)
  return { tensors, metadata, dataBegin }
}

/**
 * Reads and checks a whole file; the tensors' bytes are not copied.
 * @throws UserError naming the tensor and what is wrong with it
 */
export function readSafetensors(bytes: Uint8Array): SafetensorsFile {
  return { ...readSafetensorsHeader(bytes), bytes }
}

/**
 * One tensor's numbers as float32, in a new buffer; exact for F32, F16 and BF16.
 * @throws UserError where there is no such tensor, or its dtype is another
 */
export function tensorToFloat32(file: SafetensorsFile, name: string): Float32Array {
  const entry = file.tensors.get(name)
  if (!entry) return fail(`it has no tensor ${quote(name)}`, 'Check that the weights belong to this config.json.')
  return decodeTensor(name, entry, file.bytes.subarray(entry.begin, entry.end))
}

/** Bytes that a tensor takes in a file. */
export const storedBytes = ({ dtype, shape }: StoredTensor): number => (elementsOf(shape) * dtypeBits[dtype]) / 8

/** Throws a `UserError` where the dtype is not F32, F16 or BF16. */
export function assertFloatDtype(name: string, { dtype }: StoredTensor): void {
  if (dtype === 'F32' || dtype === 'F16' || dtype === 'BF16') return
  fail(`tensor ${quote(name)} is stored as ${dtype}, which is not supported`, 'Save the model as F32, F16 or BF16 and open it again.')
}

/** Throws a `UserError` where a tensor's bytes, fetched apart, are not as many as its header says. */
export function assertStoredBytes(name: string, tensor: StoredTensor, bytes: Uint8Array): void {
  const expected = storedBytes(tensor)
  if (bytes.length !== expected) fail(`tensor ${quote(name)} should have ${expected} bytes and has ${bytes.length}`)
}

/**
 * The numbers of a tensor whose bytes were fetched apart, as float32. `shared` lets the result be the given bytes themselves where they can be read as
 * they lie, which spares a copy; otherwise it has a new buffer.
 * @throws UserError where the dtype is not F32, F16 or BF16, or the number of bytes is not the header's
 */
export function decodeTensor(name: string, tensor: StoredTensor, bytes: Uint8Array, shared = false): Float32Array {
  assertFloatDtype(name, tensor)
  assertStoredBytes(name, tensor, bytes)
  if (shared && tensor.dtype === 'F32' && bytes.byteOffset % 4 === 0)
    return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
  // A header need not be padded, so a tensor may begin at an odd address: the copy is aligned. Browsers run on little-endian machines alone.
  const aligned = new Uint8Array(bytes).buffer
  if (tensor.dtype === 'F32') return new Float32Array(aligned)
  return tensor.dtype === 'F16' ? float16ToFloat32(new Uint16Array(aligned)) : bfloat16ToFloat32(new Uint16Array(aligned))
}

/**
 * A float32 safetensors file: tensors sorted by name, header padded to eight bytes, so equal tensors give equal bytes.
 * @throws Error where a tensor has not as many numbers as its shape says
 */
export function writeSafetensors(
  tensors: Record<string, { shape: readonly number[]; data: Float32Array }>,
  metadata: Record<string, string> = {}
): Uint8Array<ArrayBuffer> {
  const sorted = Object.entries(tensors).sort(byName)
  for (const [name, { shape, data }] of sorted) {
    if (elementsOf(shape) !== data.length) {
      throw new Error(`Tensor ${quote(name)} has shape [${shape.join(', ')}] but ${data.length} numbers.`)
    }
  }
  const header = safetensorsHeader(sorted.map(asFloat32), metadata)
  const file = new Uint8Array(sorted.reduce((position, [, { data }]) => position + data.byteLength, header.length))
  file.set(header)
  let position = header.length
  for (const [, { data }] of sorted) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), position)
    position += data.byteLength
  }
  return file
}

/** Bytes of the file that `writeSafetensors` makes of tensors of these shapes, without metadata. */
export function safetensorsLength(shapes: Readonly<Record<string, readonly number[]>>): number {
  const tensors = Object.entries(shapes).map(([name, shape]) => asFloat32([name, { shape }]))
  return tensors.reduce((length, [, tensor]) => length + storedBytes(tensor), safetensorsHeader(tensors).length)
}

/**
 * The bytes in front of the numbers of a file that holds these tensors in this order, side by side; padded to eight bytes, so that the first tensor is
 * aligned.
 */
export function safetensorsHeader(
  tensors: readonly [name: string, tensor: StoredTensor][],
  metadata: Record<string, string> = {}
): Uint8Array<ArrayBuffer> {
  const entries: [string, unknown][] = []
  const notes = Object.entries(metadata).sort(byName)
  if (notes.length > 0) entries.push(['__metadata__', Object.fromEntries(notes)])
  let offset = 0
  for (const [name, { dtype, shape }] of tensors) {
    if (name === '__metadata__') throw new Error('A tensor cannot be called "__metadata__".')
    const end = offset + storedBytes({ dtype, shape })
    entries.push([name, { dtype, shape, data_offsets: [offset, end] }])
    offset = end
  }
  // Object.fromEntries, unlike assignment, keeps a tensor called "__proto__".
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)))
  const length = Math.ceil(json.length / 8) * 8
  const header = new Uint8Array(8 + length).fill(0x20)
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true)
  header.set(json, 8)
  return header
}

const asFloat32 = ([name, { shape }]: [string, { shape: readonly number[] }]): [string, StoredTensor] => [
  name,
  { dtype: 'F32', shape: [...shape] }
]

const elementsOf = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1)

const byName = ([a]: [string, unknown], [b]: [string, unknown]) => (a < b ? -1 : a > b ? 1 : 0)

function parseHeader(bytes: Uint8Array): Record<string, unknown> {
  if (bytes[0] !== 0x7b) fail('its header does not begin with "{"', 'Check that it is a safetensors file, or fetch it again.')
  let header: unknown
  try {
    assertSoundJson(bytes)
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
  } catch (error) {
    if (error instanceof RangeError) fail(`its header ${error.message}`)
    fail(error instanceof SyntaxError ? 'its header is not valid JSON' : 'its header is not valid UTF-8 text')
  }
  return header as Record<string, unknown>
}

function checkMetadata(value: unknown): Record<string, string> {
  if (!isObject(value) || Object.values(value).some((note) => typeof note !== 'string')) fail('its "__metadata__" is not a map of texts')
  return value as Record<string, string>
}

function checkEntry(name: string, value: unknown, dataBegin: number, fileLength: number): SafetensorsEntry {
  const wrong = (what: string) => fail(`tensor ${quote(name)} ${what}`)
  if (!isObject(value)) return wrong('is not described by an object')
  const { dtype, shape, data_offsets: offsets } = value
  if (typeof dtype !== 'string' || !Object.hasOwn(dtypeBits, dtype)) return wrong(`has the unknown dtype ${quote(String(dtype))}`)
  if (!Array.isArray(shape) || !shape.every(isCount)) return wrong('has a shape that is not a list of whole numbers from 0 up')
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    return wrong('has data_offsets that are not two whole numbers from 0 up')
  }
  const [begin, end] = offsets as [number, number]
  if (begin > end) return wrong(`ends (${end}) before it begins (${begin})`)
  if (end > fileLength - dataBegin) return wrong(`ends at byte ${end} of ${fileLength - dataBegin}: the file is too short`)
  let elements = 1
  for (const size of shape) {
    elements *= size
    if (!Number.isSafeInteger(elements * 64)) return wrong(`has a shape too big to count: [${shape.slice(0, 8).join(', ')}]`)
  }
  const bytes = (elements * dtypeBits[dtype as SafetensorsDtype]) / 8
  if (bytes !== end - begin)
    return wrong(`of shape [${shape.slice(0, 8).join(', ')}] and ${dtype} needs ${bytes} bytes and has ${end - begin}`)
  return { dtype: dtype as SafetensorsDtype, shape, begin: dataBegin + begin, end: dataBegin + end }
}

/** Tensors must lie side by side from the first byte to the last: the format allows neither holes nor shared bytes. */
function checkCoverage(tensors: Map<string, SafetensorsEntry>, dataBegin: number, fileLength: number): void {
  const inOrder = [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)
  let end = dataBegin
  let before = ''
  for (const [name, entry] of inOrder) {
    if (entry.begin < end) fail(`tensors ${quote(before)} and ${quote(name)} overlap`)
    if (entry.begin > end) fail(`${entry.begin - end} bytes before tensor ${quote(name)} belong to no tensor`)
    end = entry.end
    before = name
  }
  if (end !== fileLength) fail(`${fileLength - end} bytes at its end belong to no tensor`)
}
