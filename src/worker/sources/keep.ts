// Puts a model's files into the browser's storage as they arrive, piece by piece, and checks them.
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import { UserError } from '../../engine/errors'
import { openModelFolder } from '../../engine/model/modelFolder'
import {
  beginModel,
  completeModel,
  dropFile,
  forgetModel,
  modelId,
  PIECE_BYTES,
  readPiece,
  storedFiles,
  storedPieces,
  withModelLock,
  writePiece
} from '../../storage/models'
import { assertRoom } from '../../storage/quota'
import type { KeptSource, Progress } from '../protocol'

/** A file that comes from somewhere. */
export interface ArrivingFile {
  name: string
  bytes: number
  /** In hexadecimal digits, where the place it comes from tells it. */
  sha256?: string
  /** Its bytes from `begin` on. May end early or reject where the line is cut; then it is asked again from there. */
  stream(begin: number): AsyncIterable<Uint8Array>
}

export interface ArrivingModel {
  source: KeptSource
  /** The hub that it comes from. */
  address?: string
  files: ArrivingFile[]
}

const REPORT_EVERY_MILLISECONDS = 100

/**
 * Stores a model, or the rest of one that was begun before. What came of a hub's model stays when this fails or is cancelled.
 * @throws the signal's reason once it is cancelled; else UserError where there is no room, the line is cut, a file is not what the hub says, or the model cannot be opened
 */
export async function keepModel(
  { source, address, files }: ArrivingModel,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal
): Promise<void> {
  const id = modelId(source)
  const total = files.reduce((sum, file) => sum + file.bytes, 0)
  let loaded = 0
  let reported = 0
  const report = (bytes: number): void => {
    loaded += bytes
    if (performance.now() - reported < REPORT_EVERY_MILLISECONDS && loaded < total) return
    reported = performance.now()
    onProgress({ stage: source.kind === 'hub' ? 'Downloading' : 'Copying', loaded, total, unit: 'bytes' })
  }
  return withModelLock(id, async () => {
    const stored = [...(await storedPieces(id)).values()].flat().reduce((sum, piece) => sum + piece.bytes, 0)
    await assertRoom(Math.max(0, total - stored))
    await beginModel({ id, source, address, files: files.map(({ name, bytes }) => ({ name, bytes })) })
    try {
      for (const file of files) await keepFile(id, file, report, signal)
      await checkModel(id, files)
    } catch (error) {
      if (source.kind === 'local') await forgetModel(id)
      throw error
    }
    await completeModel(id)
  })
}

/** Opens it once as it lies on disk: what cannot be opened is not worth keeping. */
async function checkModel(id: string, files: ArrivingFile[]): Promise<void> {
  try {
    await openModelFolder(await storedFiles({ id, files }))
  } catch (error) {
    await forgetModel(id)
    throw error
  }
}

async function keepFile(id: string, file: ArrivingFile, report: (bytes: number) => void, signal: AbortSignal): Promise<void> {
  const digest = file.sha256 === undefined ? undefined : sha256.create()
  const writer = await PieceWriter.open(id, file, (bytes) => {
    digest?.update(bytes)
    report(bytes.length)
  })
  while (writer.length < file.bytes) {
    const before = writer.length
    try {
      for await (const bytes of file.stream(before)) {
        signal.throwIfAborted()
        if (writer.length + bytes.length > file.bytes) throw wrongLength(file)
        await writer.append(bytes)
      }
    } catch (error) {
      await writer.flush()
      if (signal.aborted || error instanceof UserError) throw error
    }
    signal.throwIfAborted()
    // As long as something comes, a cut line is asked again for the rest.
    if (writer.length === before) {
      await writer.flush()
      throw new UserError(`The connection was cut at ${file.name}.`, 'Go on when it is back: what came is kept.')
    }
  }
  await writer.flush()
  if (digest && bytesToHex(digest.digest()) !== file.sha256) {
    await dropFile(id, file.name)
    throw new UserError(
      `${file.name} did not arrive as it was sent: its checksum is another.`,
      'Download it again; if this goes on, use another hub.'
    )
  }
}

const wrongLength = ({ name, bytes }: ArrivingFile) =>
  new UserError(`${name} is longer than the ${bytes} bytes that were announced.`, 'Try again later, or use another hub.')

/** Gathers bytes into pieces and stores them. */
class PieceWriter {
  readonly #buffer = new Uint8Array(PIECE_BYTES)
  #filled = 0
  #stored = 0
  #index = 0

  private constructor(
    readonly id: string,
    readonly file: ArrivingFile,
    readonly onBytes: (bytes: Uint8Array) => void
  ) {}

  /** Behind what is stored of the file already, which `onBytes` is given too; where that is damaged, from the start. */
  static async open(id: string, file: ArrivingFile, onBytes: (bytes: Uint8Array) => void): Promise<PieceWriter> {
    const writer = new PieceWriter(id, file, onBytes)
    const pieces = (await storedPieces(id)).get(file.name) ?? []
    const intact = await Promise.all(
      pieces.map(({ key }) =>
        readPiece(key).then(
          () => true,
          () => false
        )
      )
    )
    if (intact.includes(false) || pieces.reduce((sum, { bytes }) => sum + bytes, 0) > file.bytes) {
      await dropFile(id, file.name)
      return writer
    }
    for (const { key } of pieces) {
      const bytes = await readPiece(key)
      writer.#index++
      writer.#stored += bytes.length
      onBytes(bytes)
    }
    return writer
  }

  get length(): number {
    return this.#stored + this.#filled
  }

  async append(bytes: Uint8Array): Promise<void> {
    this.onBytes(bytes)
    for (let at = 0; at < bytes.length;) {
      const part = bytes.subarray(at, at + PIECE_BYTES - this.#filled)
      this.#buffer.set(part, this.#filled)
      this.#filled += part.length
      at += part.length
      if (this.#filled === PIECE_BYTES) await this.flush()
    }
  }

  async flush(): Promise<void> {
    if (this.#filled === 0) return
    await writePiece(this.id, this.file.name, this.#index++, this.#buffer.slice(0, this.#filled))
    this.#stored += this.#filled
    this.#filled = 0
  }
}
