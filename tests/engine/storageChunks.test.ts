// Chunked values in the real IndexedDB: whole or not at all, whatever happens in between.
import fc from 'fast-check'
import { createStore, entries, get, promisifyRequest, set } from 'idb-keyval'
import { afterEach, describe, expect, test } from 'vitest'
import { ChunkStore, DamageError } from '../../src/storage/chunks'
import type { Parts } from '../../src/storage/chunks'
import { transact } from '../../src/storage/transaction'

const databases: string[] = []

/** A new database, and its raw contents as idb-keyval shows them. */
function newStore(options: ConstructorParameters<typeof ChunkStore>[1] = {}) {
  const name = `storage-test-${crypto.randomUUID()}`
  databases.push(name)
  const raw = createStore(name, 'chunks')
  const chunkKeys = async () =>
    (await entries<[string, string, string, number], unknown>(raw)).map(([key]) => key).filter(([kind]) => kind === 'chunk')
  return { name, raw, chunkKeys, store: new ChunkStore(name, options) }
}

afterEach(() => {
  for (const name of databases.splice(0)) indexedDB.deleteDatabase(name)
})

const bytes = (...values: number[]) => new Uint8Array(values)
const sequence = (length: number, seed: number) => new Uint8Array(length).map((_, i) => ((i + seed) * 2654435761) >>> 11)

describe('a chunked value', () => {
  test('comes back equal, whatever its parts are called and however long they are', async () => {
    const { store } = newStore({ chunkBytes: 7 })
    const parts = fc.dictionary(fc.string({ unit: 'binary' }), fc.uint8Array({ maxLength: 30 }), { maxKeys: 4 })
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary' }), parts, async (key, value) => {
        const written = Object.fromEntries(Object.entries(value).map(([name, part]) => [name, part.slice()]))
        const length = Object.values(written).reduce((sum, part) => sum + part.length, 0)
        expect(await store.write(key, written)).toBe(length)
        expect(await store.read(key)).toEqual(written)
        const blobs = Object.entries((await store.readBlobs(key)) ?? {})
        expect(await Promise.all(blobs.map(async ([name, blob]) => [name, new Uint8Array(await blob.arrayBuffer())]))).toEqual(
          Object.entries(written)
        )
      }),
      { numRuns: 40 }
    )
  })

  test('lies in chunks of at most the given size, and a view’s buffer is not stored with it', async () => {
    const { store, raw, chunkKeys } = newStore({ chunkBytes: 4 })
    await store.write('a', { x: sequence(1000, 0).subarray(10, 19), y: bytes(), z: bytes(1) })
    const chunks = await Promise.all((await chunkKeys()).map((key) => get<Uint8Array>(key, raw)))
    expect(chunks.map((chunk) => [chunk?.length, chunk?.buffer.byteLength])).toEqual([
      [4, 4],
      [4, 4],
      [1, 1],
      [1, 1]
    ])
  })

  test('of 200 MB comes back to the bit from fifty chunks', async () => {
    const { store, chunkKeys } = newStore({ chunkBytes: 4_000_000 })
    const words = new Uint32Array(50_000_000)
    for (let i = 0; i < words.length; i++) words[i] = Math.imul(i, 2654435761)
    await store.write('big', { tensors: new Uint8Array(words.buffer) })
    expect(await chunkKeys()).toHaveLength(50)
    const read = (await store.read('big'))?.tensors
    const readWords = new Uint32Array(read?.buffer ?? new ArrayBuffer(0))
    expect(readWords.length).toBe(words.length)
    expect(words.findIndex((word, i) => word !== readWords[i])).toBe(-1)
  })

  test('replaces the one before and leaves none of its chunks', async () => {
    const { store, chunkKeys } = newStore({ chunkBytes: 2 })
    await store.write('a', { x: sequence(9, 0) })
    await store.write('b', { x: bytes(5) })
    await store.write('a', { x: bytes(1, 2, 3) })
    expect(await store.read('a')).toEqual({ x: bytes(1, 2, 3) })
    expect(await store.read('b')).toEqual({ x: bytes(5) })
    expect(await chunkKeys()).toHaveLength(3)
    expect((await store.list()).map(({ key, bytes: size }) => [key, size])).toEqual([
      ['a', 3],
      ['b', 1]
    ])
    await store.delete('a')
    expect(await store.read('a')).toBeUndefined()
    expect(await store.readBlobs('a')).toBeUndefined()
    expect((await chunkKeys()).map(([, key]) => key)).toEqual(['b'])
  })

  test('is one of those written at once, never a mixture, for readers at any time', async () => {
    const { store, name } = newStore({ chunkBytes: 3 })
    const otherTab = new ChunkStore(name, { chunkBytes: 5 })
    const values: Parts[] = Array.from({ length: 12 }, (_, i) => ({ x: sequence(20 + i, i) }))
    await store.write('a', values[0] as Parts)
    const writes = values.map((value, i) => (i % 2 ? store : otherTab).write('a', value))
    const reads = await Promise.all(values.flatMap(() => [store.read('a'), otherTab.read('a')]))
    await Promise.all(writes)
    for (const read of reads) expect(values).toContainEqual(read)
    expect(await store.read('a')).toEqual(values.at(-1))
  })
})

describe('a write that breaks off', () => {
  test.each([0, 1, 3, 4])('before chunk %i leaves the value before whole and nothing else', async (at) => {
    let armed = false
    const { store, chunkKeys } = newStore({
      chunkBytes: 2,
      beforeWrite: (index) => {
        if (armed && index === at) throw new Error('broken off')
      }
    })
    await store.write('a', { x: bytes(1, 2, 3) })
    armed = true
    await expect(store.write('a', { x: sequence(8, 0) })).rejects.toThrow('broken off')
    await expect(store.write('new', { x: sequence(8, 0) })).rejects.toThrow('broken off')
    expect(await store.read('a')).toEqual({ x: bytes(1, 2, 3) })
    expect(await store.read('new')).toBeUndefined()
    expect(await chunkKeys()).toHaveLength(2)
  })

  test('because its worker is killed leaves the value before, and remains that a sweep takes', async () => {
    const { store, name, chunkKeys } = newStore({ chunkBytes: 4 })
    await store.write('a', { bytes: bytes(1, 2, 3) })
    const worker = new Worker(new URL('./storageDyingWriter.ts', import.meta.url), { type: 'module' })
    const stopped = new Promise((resolve, reject) => {
      worker.onmessage = resolve
      worker.onerror = reject
    })
    worker.postMessage({ database: name, key: 'a', bytes: sequence(20, 0), chunkBytes: 4, dieAt: 3 })
    await stopped

    // The writer lives: it has three chunks beside ours, and a sweep leaves them alone.
    expect(await chunkKeys()).toHaveLength(4)
    await store.sweep()
    expect(await chunkKeys()).toHaveLength(4)

    worker.terminate()
    // Reading waits until the browser has freed the dead writer's lock.
    expect(await store.read('a')).toEqual({ bytes: bytes(1, 2, 3) })
    expect(await chunkKeys()).toHaveLength(4)
    await store.sweep()
    expect(await chunkKeys()).toHaveLength(1)
    expect(await store.read('a')).toEqual({ bytes: bytes(1, 2, 3) })
  })

  test('leaves remains that the next write of the key takes, too', async () => {
    const { store, raw, chunkKeys } = newStore({ chunkBytes: 4 })
    await set(['chunk', 'a', 'dead', 0], bytes(9), raw)
    await set(['chunk', 'b', 'dead', 0], bytes(9), raw)
    await store.write('a', { x: bytes(1) })
    expect((await chunkKeys()).map(([, key]) => key)).toEqual(['a', 'b'])
    expect(await store.read('a')).toEqual({ x: bytes(1) })
  })
})

describe('a damaged chunk', () => {
  const damages: [string, (chunk: Uint8Array) => unknown, string][] = [
    ['has a flipped bit', (chunk) => chunk.map((byte, i) => (i === 0 ? byte ^ 1 : byte)), 'chunk 2 of 3 does not have its checksum'],
    ['is too short', (chunk) => chunk.slice(1), 'chunk 2 of 3 has 3 bytes for 4'],
    ['is gone', () => undefined, 'chunk 2 of 3 is missing'],
    ['is something else', () => 'text', 'chunk 2 of 3 is missing']
  ]
  test.each(damages)('that %s is named, and only its value is lost', async (_, damage, message) => {
    const { store, raw, chunkKeys } = newStore({ chunkBytes: 4 })
    await store.write('a', { x: sequence(10, 0) })
    await store.write('b', { x: bytes(7) })
    const key = (await chunkKeys())[1] as [string, string, string, number]
    await set(key, damage((await get<Uint8Array>(key, raw)) as Uint8Array), raw)
    await expect(store.read('a')).rejects.toThrow(new DamageError(message))
    await expect(store.readBlobs('a')).rejects.toThrow(new DamageError(message))
    expect(await store.read('b')).toEqual({ x: bytes(7) })
    await store.write('a', { x: bytes(1) })
    expect(await store.read('a')).toEqual({ x: bytes(1) })
  })
})

describe('a transaction', () => {
  test('that fails keeps nothing and tells the cause, not its requests’ AbortError', async () => {
    const { raw } = newStore()
    const failing = transact(raw, async (store) => {
      store.add('first', 'key')
      store.add('second', 'key')
      await promisifyRequest(store.get('key'))
      await promisifyRequest(store.get('key'))
    })
    await expect(failing).rejects.toMatchObject({ name: 'ConstraintError' })
    expect(await get('key', raw)).toBeUndefined()
  })
})
