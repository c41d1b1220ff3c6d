// Zip archives as Blobs: written piece by piece, and read with nothing in them believed before it is checked.
import { Inflate, Zip, ZipDeflate, ZipPassThrough } from 'fflate'
import { UserError } from '../engine/errors'

/** Work goes on in pieces of this size, with other tasks in between, so that a page stays awake. */
const pieceBytes = 4_000_000
const maximumArchiveBytes = 0xffffffff
const maximumFiles = 100
const maximumDirectoryBytes = 100_000
/** Text compresses 5 to 20 times. Deflate's own limit is 1032, which only files made to hurt come near. */
const maximumRatio = 200
const ratioIsCheckedFrom = 1_000_000

export interface FileToZip {
  name: string
  data: Blob
  /** Trained numbers hardly shrink, so they are stored as they are. */
  compress: boolean
}

/** @throws UserError where the archive would pass 4 GB, which the format without its 64-bit extension cannot hold */
export async function writeZip(files: FileToZip[]): Promise<Blob> {
  const bytes = files.reduce((sum, file) => sum + file.data.size, 0)
  if (bytes + 1_000_000 > maximumArchiveBytes) {
    throw new UserError(`The archive would have ${(bytes / 1e9).toFixed(1)} GB.`, 'Only runs of up to 4 GB can be exported.')
  }
  const parts: Blob[] = []
  let failure: Error | undefined
  const zip = new Zip((error, piece) => {
    if (error) failure = error
    else parts.push(new Blob([piece]))
  })
  for (const { name, data, compress } of files) {
    const entry = compress ? new ZipDeflate(name) : new ZipPassThrough(name)
    zip.add(entry)
    for await (const piece of piecesOf(data)) entry.push(piece)
    entry.push(new Uint8Array(0), true)
  }
  zip.end()
  if (failure) throw failure
  return new Blob(parts, { type: 'application/zip' })
}

export interface ZippedFile {
  name: string
  /** Bytes when unpacked, as the archive declares; `read` holds it to that. */
  bytes: number
  /** @throws UserError where it is longer than `maximumBytes`, damaged, or packed to hurt */
  read(maximumBytes: number): Promise<Uint8Array<ArrayBuffer>>
  /** Its bytes piece by piece, checked at the end; throws as `read`. */
  stream(maximumBytes: number): AsyncGenerator<Uint8Array>
}

const broken = (detail: string) =>
  new UserError(
    `This archive cannot be read: ${detail}.`,
    'The file is damaged, not complete, or not a zip archive: save or copy it again.'
  )

/**
 * Lists an archive's files by name from its directory, without unpacking anything.
 * @throws UserError where it is not a plain zip archive
 * @see https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
 */
export async function readZip(archive: Blob): Promise<Map<string, ZippedFile>> {
  const { begin, size, count } = await findDirectory(archive)
  const directory = await viewOf(archive, begin, begin + size)
  const files = new Map<string, ZippedFile>()
  let at = 0
  for (let i = 0; i < count; i++) {
    if (at + 46 > size || directory.getUint32(at, true) !== 0x02014b50) throw broken('its directory is damaged')
    const field = (offset: number) => directory.getUint16(at + offset, true)
    const longField = (offset: number) => directory.getUint32(at + offset, true)
    const nameEnd = at + 46 + field(28)
    const next = nameEnd + field(30) + field(32)
    if (next > size) throw broken('its directory is damaged')
    const name = new TextDecoder().decode(new Uint8Array(directory.buffer, at + 46, nameEnd - at - 46))
    if (files.has(name)) throw broken(`it holds “${name.slice(0, 80)}” twice`)
    if (field(8) & 1) throw broken('it is encrypted')
    const entry = { name, method: field(10), crc: longField(16), packed: longField(20), bytes: longField(24), header: longField(42) }
    const stream = (maximumBytes: number) => streamEntry(archive, begin, entry, maximumBytes)
    files.set(name, { name, bytes: entry.bytes, stream, read: (maximumBytes) => gather(entry.bytes, stream(maximumBytes)) })
    at = next
  }
  return files
}

interface Entry {
  name: string
  method: number
  crc: number
  packed: number
  bytes: number
  header: number
}

/** The directory's place stands in the last record, behind which only a comment may follow. */
async function findDirectory(archive: Blob): Promise<{ begin: number; size: number; count: number }> {
  const tailBegin = Math.max(0, archive.size - 22 - 0xffff)
  const tail = await viewOf(archive, tailBegin, archive.size)
  for (let at = tail.byteLength - 22; at >= 0; at--) {
    if (tail.getUint32(at, true) !== 0x06054b50 || at + 22 + tail.getUint16(at + 20, true) !== tail.byteLength) continue
    const [count, size, begin] = [tail.getUint16(at + 10, true), tail.getUint32(at + 12, true), tail.getUint32(at + 16, true)]
    if (begin + size > tailBegin + at) throw broken('its directory lies outside the file')
    if (count > maximumFiles || size > maximumDirectoryBytes) throw broken(`it holds ${count} files, more than any exported run`)
    return { begin, size, count }
  }
  throw broken('its end is missing')
}

async function gather(bytes: number, pieces: AsyncGenerator<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  // Made with the first piece, once the declared length has passed its checks.
  let whole: Uint8Array<ArrayBuffer> | undefined
  let length = 0
  for await (const piece of pieces) {
    whole ??= new Uint8Array(bytes)
    whole.set(piece, length)
    length += piece.length
  }
  return whole ?? new Uint8Array(0)
}

async function* streamEntry(archive: Blob, dataLimit: number, entry: Entry, maximumBytes: number): AsyncGenerator<Uint8Array> {
  const { name, method, packed, bytes } = entry
  if (bytes > maximumBytes) throw broken(`“${name}” has ${bytes} bytes, and ${maximumBytes} are allowed`)
  if (bytes > ratioIsCheckedFrom && bytes > packed * maximumRatio) throw broken(`“${name}” would grow ${Math.round(bytes / packed)} times`)
  if (entry.header + 30 > dataLimit) throw broken(`“${name}” lies outside the file`)
  const local = await viewOf(archive, entry.header, entry.header + 30)
  const begin = entry.header + 30 + local.getUint16(26, true) + local.getUint16(28, true)
  if (local.getUint32(0, true) !== 0x04034b50 || begin + packed > dataLimit) throw broken(`“${name}” lies outside the file`)
  if (method !== 0 && method !== 8) throw broken(`“${name}” is packed by a method other than deflate`)
  if (method === 0 && packed !== bytes) throw broken(`“${name}” has another length than the directory says`)
  const checksum = new Checksum()
  let length = 0
  for await (const piece of unpack(name, archive.slice(begin, begin + packed), method === 8)) {
    length += piece.length
    if (length > bytes) throw broken(`“${name}” is longer than the directory says`)
    checksum.add(piece)
    yield piece
  }
  if (length !== bytes) throw broken(`“${name}” is shorter than the directory says`)
  if (checksum.value() !== entry.crc) throw broken(`“${name}” does not have its checksum`)
}

async function* unpack(name: string, packed: Blob, deflated: boolean): AsyncGenerator<Uint8Array> {
  if (!deflated) {
    yield* piecesOf(packed)
    return
  }
  let unpacked: Uint8Array[] = []
  const inflate = new Inflate((piece) => unpacked.push(piece))
  const push = (piece: Uint8Array, isLast = false): Uint8Array[] => {
    unpacked = []
    try {
      inflate.push(piece, isLast)
    } catch {
      throw broken(`“${name}” is damaged`)
    }
    return unpacked
  }
  // Small pieces, as each may grow a thousandfold before its length is seen.
  for await (const piece of piecesOf(packed, 64_000)) yield* push(piece)
  yield* push(new Uint8Array(0), true)
}

/** CRC-32 as zip archives have it; fflate computes it only on the way into an archive, so that way is taken. */
class Checksum {
  readonly #sink = new ZipPassThrough('')
  constructor() {
    this.#sink.ondata = () => {}
  }
  add(piece: Uint8Array): void {
    this.#sink.push(piece)
  }
  value(): number {
    this.#sink.push(new Uint8Array(0), true)
    return this.#sink.crc >>> 0
  }
}

async function* piecesOf(data: Blob, size = pieceBytes): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for (let begin = 0; begin < data.size; begin += size) yield new Uint8Array(await data.slice(begin, begin + size).arrayBuffer())
}

async function viewOf(data: Blob, begin: number, end: number): Promise<DataView<ArrayBuffer>> {
  return new DataView(await data.slice(begin, end).arrayBuffer())
}
