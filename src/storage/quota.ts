// How much the browser lets this site keep, and what a person can do when that is not enough.
import { UserError } from '../engine/errors'
import { assertStorageAllowed } from './locks'
import type { StoredValue } from './chunks'
import { checkpointChunks, modelPieces, readLibrary } from './stores'

export interface StorageReport {
  /** Bytes that this site takes now. */
  usage: number
  /** Bytes that it may take. Chromium does not tell this exactly, so a write can fail earlier. */
  quota: number
  /** Whether the browser promised to delete nothing on its own when the disk is full. */
  persisted: boolean
}

export async function storageReport(): Promise<StorageReport> {
  assertStorageAllowed()
  const [estimate, persisted] = await Promise.all([navigator.storage.estimate(), navigator.storage.persisted()])
  return { usage: estimate.usage ?? 0, quota: estimate.quota ?? 0, persisted }
}

/** Asks the browser not to delete runs on its own. Only a page may ask; a worker gets the present state. */
export async function requestPersistence(): Promise<boolean> {
  assertStorageAllowed()
  const storage: Partial<StorageManager> = navigator.storage
  return storage.persist ? await storage.persist() : await navigator.storage.persisted()
}

/** @throws UserError where so many more bytes cannot be kept, with the runs and models that are worth deleting */
export async function assertRoom(bytes: number): Promise<void> {
  const { usage, quota } = await storageReport()
  if (usage + bytes > quota) throw await noRoom(bytes)
}

/**
 * Runs a write; a full disk becomes advice, which tells the bytes where they are known.
 * @throws UserError for a `QuotaExceededError`, else what `write` throws
 */
export async function withRoom<T>(write: () => Promise<T>, bytes?: number): Promise<T> {
  try {
    return await write()
  } catch (error) {
    throw error instanceof Error && error.name === 'QuotaExceededError' ? await noRoom(bytes) : error
  }
}

async function noRoom(bytes?: number): Promise<UserError> {
  const [checkpoints, pieces, runs, models] = await Promise.all([
    checkpointChunks.list(),
    modelPieces.list(),
    readLibrary((records) => records.all('run')),
    readLibrary((records) => records.all('model'))
  ])
  const bytesOf = (values: StoredValue[], id: string) =>
    values.filter(({ key }) => key.startsWith(`${id}/`)).reduce((sum, value) => sum + value.bytes, 0)
  const largest = [
    ...runs.map(({ id, name }) => ({ name, bytes: bytesOf(checkpoints, id) })),
    ...models.map(({ id, source }) => ({ name: source.kind === 'hub' ? source.repository : source.name, bytes: bytesOf(pieces, id) }))
  ]
    .filter((entry) => entry.bytes > 0)
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, 3)
    .map((entry) => `“${entry.name}” (${megabytes(entry.bytes)})`)
  return new UserError(
    `There is no room left in the browser’s storage${bytes === undefined ? '' : ` to keep ${megabytes(bytes)} more`}.`,
    largest.length > 0
      ? `Delete runs and models that you no longer need in the library; the largest: ${largest.join(', ')}. What was saved before is kept.`
      : 'Free space on this disk, or allow this site more storage in the browser’s settings.'
  )
}

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`
