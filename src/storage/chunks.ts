// Big values in IndexedDB: in chunks with a checksum each, and a manifest written last, so that a half-written value never counts.
import { createStore, get, keys, promisifyRequest, set } from 'idb-keyval'
import type { UseStore } from 'idb-keyval'
import { withLock, withLockIfFree } from './locks'
import { transact } from './transaction'

/**
 * Browsers fail at single values of some hundred megabytes, so 64 MB is the most; a chunk of 16 MB takes as long a megabyte, but
 * copying it keeps the thread a third as long at a time.
 */
const defaultChunkBytes = 16_000_000

/** A value's bytes by the name of each part. */
export type Parts = Record<string, Uint8Array<ArrayBuffer>>

interface Manifest {
  key: string
  /** Names this writing's chunks, so that they lie beside those of the one before. */
  version: string
  savedAt: number
  parts: { name: string; bytes: number; chunks: { bytes: number; sha256: string }[] }[]
}

/** What is stored under a key, without reading it. */
export interface StoredValue {
  key: string
  bytes: number
  /** Milliseconds since 1970. */
  savedAt: number
}

/** A stored value is not what was written; the message ends a sentence: "chunk 2 of 3 is missing". */
export class DamageError extends Error {}

const manifestKey = (key: string) => ['manifest', key]
const chunkKey = (key: string, version: string, index: number) => ['chunk', key, version, index]
/** An array sorts after all strings and numbers, so this spans every version's chunks. */
const chunksOf = (key: string) => IDBKeyRange.bound(['chunk', key], ['chunk', key, []])

/**
 * SHA-256, because it is computed off the thread: 64 MB take 80 ms in Chromium with the processor's SHA instructions,
 * where a CRC-32 in JavaScript keeps the thread for 160 ms.
 */
async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** One database of chunked values. A value's writers wait for each other and for its readers, across tabs and workers. */
export class ChunkStore {
  readonly #name: string
  readonly #store: UseStore
  readonly #chunkBytes: number
  readonly #beforeWrite: (index: number) => Promise<void> | void

  /** `beforeWrite` is awaited before each chunk and, as the last, before the manifest: tests break off there. */
  constructor(name: string, options: { chunkBytes?: number; beforeWrite?: (index: number) => Promise<void> | void } = {}) {
    this.#name = name
    this.#store = createStore(name, 'chunks')
    this.#chunkBytes = options.chunkBytes ?? defaultChunkBytes
    this.#beforeWrite = options.beforeWrite ?? (() => {})
  }

  /**
   * Stores a value in place of the one before, which stays whole until the very end.
   * @returns bytes stored
   * @throws what IndexedDB throws, `QuotaExceededError` above all; then the value before is still there
   */
  async write(key: string, parts: Parts): Promise<number> {
    return withLock(this.#lockName(key), 'exclusive', async () => {
      const manifest: Manifest = { key, version: crypto.randomUUID(), savedAt: Date.now(), parts: [] }
      try {
        let index = 0
        for (const [name, bytes] of Object.entries(parts)) {
          const part: Manifest['parts'][number] = { name, bytes: bytes.length, chunks: [] }
          manifest.parts.push(part)
          for (let begin = 0; begin < bytes.length; begin += this.#chunkBytes) {
            // A copy, as storing a view would store the whole buffer behind it.
            const chunk = bytes.slice(begin, begin + this.#chunkBytes)
            part.chunks.push({ bytes: chunk.length, sha256: await sha256(chunk) })
            await this.#beforeWrite(index)
            await set(chunkKey(key, manifest.version, index++), chunk, this.#store)
          }
        }
        await this.#beforeWrite(index)
        await this.#commit(key, manifest)
      } catch (error) {
        // What cannot be cleared now, the next sweep clears: the first error is the one to tell.
        await this.#clearOrphans(key).catch(() => {})
        throw error
      }
      return sizeOf(manifest)
    })
  }

  /**
   * A value's parts, every chunk checked; undefined where there is none.
   * @throws DamageError naming the chunk that is not what was written
   */
  async read(key: string): Promise<Parts | undefined> {
    return this.#withManifest(key, async (manifest) => {
      const parts: [string, Uint8Array<ArrayBuffer>][] = []
      for (const { name, bytes } of manifest.parts) {
        const whole = new Uint8Array(bytes)
        let position = 0
        await this.#eachChunk(manifest, name, (chunk) => {
          whole.set(chunk, position)
          position += chunk.length
        })
        parts.push([name, whole])
      }
      return Object.fromEntries(parts)
    })
  }

  /** As `read`, but in Blobs, which the browser may keep out of memory. */
  async readBlobs(key: string): Promise<Record<string, Blob> | undefined> {
    return this.#withManifest(key, async (manifest) => {
      const parts: [string, Blob][] = []
      for (const { name } of manifest.parts) {
        const blobs: Blob[] = []
        await this.#eachChunk(manifest, name, (chunk) => blobs.push(new Blob([chunk])))
        parts.push([name, new Blob(blobs)])
      }
      return Object.fromEntries(parts)
    })
  }

  /** All whole values, in the order of their keys. */
  async list(): Promise<StoredValue[]> {
    const manifests = await this.#store('readonly', (store) =>
      promisifyRequest<Manifest[]>(store.getAll(IDBKeyRange.bound(['manifest'], ['manifest', []])))
    )
    return manifests.map((manifest) => ({ key: manifest.key, bytes: sizeOf(manifest), savedAt: manifest.savedAt }))
  }

  async delete(key: string): Promise<void> {
    await withLock(this.#lockName(key), 'exclusive', () =>
      transact(this.#store, async (store) => {
        store.delete(manifestKey(key))
        await promisifyRequest(store.delete(chunksOf(key)))
      })
    )
  }

  /** Deletes the chunks that killed writers left behind; values that someone is writing now are left alone. */
  async sweep(): Promise<void> {
    const all = await keys<[string, string]>(this.#store)
    const keysWithChunks = new Set(all.filter(([kind]) => kind === 'chunk').map(([, key]) => key))
    for (const key of keysWithChunks) {
      await withLockIfFree(
        this.#lockName(key),
        () => this.#clearOrphans(key),
        () => {}
      )
    }
  }

  #lockName(key: string): string {
    return `${this.#name}/${key}`
  }

  async #withManifest<T>(key: string, work: (manifest: Manifest) => Promise<T>): Promise<T | undefined> {
    return withLock(this.#lockName(key), 'shared', async () => {
      const manifest = await get<Manifest>(manifestKey(key), this.#store)
      return manifest && (await work(manifest))
    })
  }

  async #eachChunk(manifest: Manifest, partName: string, use: (chunk: Uint8Array<ArrayBuffer>) => void): Promise<void> {
    const count = manifest.parts.reduce((sum, part) => sum + part.chunks.length, 0)
    let index = 0
    for (const part of manifest.parts) {
      for (const expected of part.chunks) {
        const chunkIndex = index++
        if (part.name !== partName) continue
        const where = `chunk ${chunkIndex + 1} of ${count}`
        const chunk = await get<Uint8Array<ArrayBuffer>>(chunkKey(manifest.key, manifest.version, chunkIndex), this.#store).catch(
          (error: unknown) => {
            throw new DamageError(`${where} cannot be read (${String(error)})`)
          }
        )
        if (!(chunk instanceof Uint8Array)) throw new DamageError(`${where} is missing`)
        if (chunk.length !== expected.bytes) throw new DamageError(`${where} has ${chunk.length} bytes for ${expected.bytes}`)
        if ((await sha256(chunk)) !== expected.sha256) throw new DamageError(`${where} does not have its checksum`)
        use(chunk)
      }
    }
  }

  /** The switch: this manifest counts now, and other versions' chunks are gone. */
  async #commit(key: string, manifest: Manifest): Promise<void> {
    await transact(this.#store, async (store) => {
      store.put(manifest, manifestKey(key))
      await deleteChunks(store, key, manifest.version)
    })
  }

  async #clearOrphans(key: string): Promise<void> {
    await transact(this.#store, async (store) => {
      const manifest = await promisifyRequest<Manifest | undefined>(store.get(manifestKey(key)))
      await deleteChunks(store, key, manifest?.version)
    })
  }
}

/** Deletes a key's chunks, but for the version to keep. */
async function deleteChunks(store: IDBObjectStore, key: string, keep: string | undefined): Promise<void> {
  const chunkKeys = (await promisifyRequest(store.getAllKeys(chunksOf(key)))) as [string, string, string, number][]
  for (const chunk of chunkKeys) if (chunk[2] !== keep) store.delete(chunk)
}

function sizeOf(manifest: Manifest): number {
  return manifest.parts.reduce((sum, part) => sum + part.bytes, 0)
}
