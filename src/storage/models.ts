// Models that someone downloaded or brought along: their files in pieces, so that a download can go on where it stopped and no file is ever held whole.
import { UserError } from '../engine/errors'
import { missing, type ModelFiles } from '../engine/formats/modelFiles'
import type { KeptSource } from '../worker/protocol'
import { DamageError } from './chunks'
import { withLockIfFree } from './locks'
import { withRoom } from './quota'
import { changeLibrary, modelPieces, readLibrary } from './stores'

/** Small, since a tensor of a few bytes costs the reading of its piece; 64 MB is the most that IndexedDB takes well. */
export const PIECE_BYTES = 8_000_000

/** Pieces that a reader keeps at hand: tensors are asked for roughly in the order of the file. */
const HELD_PIECES = 2

export interface StoredModel {
  id: string
  source: KeptSource
  files: { name: string; bytes: number }[]
  /** True once every file is there and was checked; until then a download can go on. */
  isComplete: boolean
  /** The hub that it comes from; undefined for files of this computer. */
  address?: string
  createdAt: number
}

/** A row of the library. */
export interface ModelEntry extends StoredModel {
  /** Of all its files. */
  bytes: number
  /** Of those on disk. */
  storedBytes: number
}

/** A part of a file as it lies on disk. */
export interface StoredPiece {
  key: string
  bytes: number
}

/** The name under which a model is kept; the same source is kept once. */
export const modelId = (source: KeptSource): string =>
  source.kind === 'hub' ? `hub/${source.repository}@${source.revision}` : `local/${source.id}`

const lockOf = (id: string) => `tuneground-model/${id}`
const fileKey = (id: string, name: string) => `${id}/${name}/`
const pieceKey = (id: string, name: string, index: number) => fileKey(id, name) + String(index).padStart(6, '0')

/**
 * Runs `work` as the only one, in all tabs, that adds to a model or deletes it.
 * @throws UserError where another one is at it
 */
export function withModelLock<T>(id: string, work: () => Promise<T>): Promise<T> {
  return withLockIfFree(lockOf(id), work, () => {
    throw new UserError('This model is being downloaded already, here or in another tab.', 'Wait until it is done, or cancel it there.')
  })
}

/** Stores what the model will be; where it is stored already, its pieces stay. Throws a `UserError` where there is no room. */
export async function beginModel(model: Omit<StoredModel, 'isComplete' | 'createdAt'>): Promise<void> {
  await withRoom(() =>
    changeLibrary(async (records) => {
      const before = await records.get('model', model.id)
      records.put('model', model.id, { ...model, isComplete: false, createdAt: before?.createdAt ?? Date.now() })
    })
  )
}

/** Says that every file of a model is there and was checked. */
export async function completeModel(id: string): Promise<void> {
  await changeLibrary(async (records) => {
    const model = await records.get('model', id)
    if (model) records.put('model', id, { ...model, isComplete: true })
  })
}

/** Stores the next piece of a file: `index` counts from 0. Throws a `UserError` where there is no room. */
export async function writePiece(id: string, name: string, index: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  await withRoom(() => modelPieces.write(pieceKey(id, name, index), { bytes }), bytes.length)
}

/** What is there of each file, in order. */
export async function storedPieces(id: string): Promise<Map<string, StoredPiece[]>> {
  const byFile = new Map<string, StoredPiece[]>()
  for (const { key, bytes } of await modelPieces.list()) {
    if (!key.startsWith(`${id}/`)) continue
    const name = key.slice(id.length + 1, key.lastIndexOf('/'))
    byFile.set(name, [...(byFile.get(name) ?? []), { key, bytes }])
  }
  return byFile
}

/** A piece's bytes, checked. Throws a `UserError` where it is damaged or gone. */
export async function readPiece(key: string): Promise<Uint8Array<ArrayBuffer>> {
  const advice = 'Delete the model in the library and fetch it again.'
  try {
    const parts = await modelPieces.read(key)
    if (parts?.bytes) return parts.bytes
  } catch (error) {
    if (!(error instanceof DamageError)) throw error
    throw new UserError(`The stored model is damaged: ${error.message}.`, advice)
  }
  throw new UserError('A part of the stored model is missing.', advice)
}

/** Deletes what there is of one file, to fetch it anew. */
export async function dropFile(id: string, name: string): Promise<void> {
  for (const { key } of (await storedPieces(id)).get(name) ?? []) await modelPieces.delete(key)
}

export async function getModel(id: string): Promise<StoredModel | undefined> {
  return readLibrary((records) => records.get('model', id))
}

/** All models that were downloaded or brought along, unfinished ones too; the newest first. */
export async function listModels(): Promise<ModelEntry[]> {
  const [models, pieces] = await Promise.all([readLibrary((records) => records.all('model')), modelPieces.list()])
  return models
    .map((model) => ({
      ...model,
      bytes: model.files.reduce((sum, file) => sum + file.bytes, 0),
      storedBytes: pieces.filter(({ key }) => key.startsWith(`${model.id}/`)).reduce((sum, piece) => sum + piece.bytes, 0)
    }))
    .sort((a, b) => b.createdAt - a.createdAt)
}

/** @throws UserError while it is being downloaded */
export async function deleteModel(id: string): Promise<void> {
  await withModelLock(id, () => forgetModel(id))
}

/** As `deleteModel`, for whoever holds its lock. */
export async function forgetModel(id: string): Promise<void> {
  // The record last: a kill in between leaves a model that can be deleted again, not bytes that nobody sees.
  for (const pieces of (await storedPieces(id)).values()) for (const { key } of pieces) await modelPieces.delete(key)
  await changeLibrary(async (records) => records.delete('model', id))
}

/**
 * The files of a model that is kept, read by ranges: at most two pieces are in memory.
 * @throws UserError where a file is not whole
 */
export async function storedFiles({ id, files }: Pick<StoredModel, 'id' | 'files'>): Promise<ModelFiles> {
  const pieces = await storedPieces(id)
  const sizes = new Map<string, number>()
  for (const { name, bytes } of files) {
    const stored = (pieces.get(name) ?? []).reduce((sum, piece) => sum + piece.bytes, 0)
    if (stored !== bytes) throw new UserError(`${name} is not whole: ${stored} of ${bytes} bytes are here.`, 'Go on with its download.')
    sizes.set(name, bytes)
  }
  const held = new Map<string, Promise<Uint8Array>>()
  const pieceOf = (key: string): Promise<Uint8Array> => {
    const piece = held.get(key) ?? readPiece(key)
    // Put last again, so that the one that was not used for longest goes first.
    held.delete(key)
    held.set(key, piece)
    for (const old of [...held.keys()].slice(0, -HELD_PIECES)) held.delete(old)
    return piece
  }
  return {
    names: [...sizes.keys()],
    size: (name) => {
      const size = sizes.get(name)
      if (size === undefined) throw missing(name)
      return size
    },
    read: (name, begin = 0, end = sizes.get(name)) => readRange(pieces.get(name) ?? [], begin, end ?? 0, pieceOf)
  }
}

async function readRange(
  pieces: StoredPiece[],
  begin: number,
  end: number,
  pieceOf: (key: string) => Promise<Uint8Array>
): Promise<Uint8Array> {
  const range = new Uint8Array(Math.max(0, end - begin))
  let at = 0
  for (const { key, bytes } of pieces) {
    if (at < end && at + bytes > begin) {
      const piece = await pieceOf(key)
      range.set(piece.subarray(Math.max(0, begin - at), end - at), Math.max(0, at - begin))
    }
    at += bytes
  }
  return range
}
