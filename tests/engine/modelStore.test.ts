// Models in the browser's real storage: kept piece by piece, continued, read by ranges, swept and deleted.
import { afterEach, describe, expect, test } from 'vitest'
import { UserError } from '../../src/engine/errors'
import { weightsOfRanges } from '../../src/engine/formats/weightSource'
import { writeSafetensors } from '../../src/engine/formats/safetensors'
import { sweepStorage } from '../../src/storage/library'
import {
  beginModel,
  completeModel,
  deleteModel,
  getModel,
  listModels,
  modelId,
  PIECE_BYTES,
  storedFiles,
  storedPieces,
  withModelLock,
  writePiece
} from '../../src/storage/models'
import { modelPieces } from '../../src/storage/stores'
import { keepModel, type ArrivingModel } from '../../src/worker/sources/keep'

const source = { kind: 'hub' as const, repository: 'org/name', revision: 'c0ffee' }
const id = modelId(source)
const never = new AbortController().signal

const noise = (length: number): Uint8Array<ArrayBuffer> => Uint8Array.from({ length }, (_, i) => ((i + 7) * 2654435761) >>> 13)

afterEach(() => deleteModel(id))

async function keepBytes(name: string, bytes: Uint8Array<ArrayBuffer>, pieceBytes: number): Promise<void> {
  await beginModel({ id, source, files: [{ name, bytes: bytes.length }] })
  for (let at = 0, index = 0; at < bytes.length; at += pieceBytes) await writePiece(id, name, index++, bytes.slice(at, at + pieceBytes))
  await completeModel(id)
}

describe('a model that is kept', () => {
  test('is read by any range, over the edges of its pieces', async () => {
    const bytes = noise(1000)
    await keepBytes('a.dat', bytes, 64)
    const files = await storedFiles((await getModel(id))!)
    expect([files.names, files.size('a.dat')]).toEqual([['a.dat'], 1000])
    expect(await files.read('a.dat')).toEqual(bytes)
    for (const [begin, end] of [
      [0, 0],
      [0, 1],
      [63, 65],
      [64, 128],
      [999, 1000],
      [10, 700]
    ] as const) {
      expect(await files.read('a.dat', begin, end)).toEqual(bytes.slice(begin, end))
    }
    expect(() => files.size('b.dat')).toThrow(UserError)
  })

  test('of 200 tensors gives each one by its range', async () => {
    const tensors = Object.fromEntries(
      Array.from({ length: 200 }, (_, i) => [`t${i}`, { shape: [50], data: new Float32Array(50).fill(i) }])
    )
    const file = writeSafetensors(tensors)
    await keepBytes('model.safetensors', file, 4096)
    const files = await storedFiles((await getModel(id))!)
    const weights = await weightsOfRanges(file.length, (begin, end) => files.read('model.safetensors', begin, end))
    for (const name of weights.tensors.keys()) {
      expect(new Float32Array((await weights.read(name)).slice().buffer)[49]).toBe(Number(name.slice(1)))
    }
  })

  test('is not taken for whole while a part is missing, and a sweep leaves it alone', async () => {
    await beginModel({ id, source, files: [{ name: 'a.dat', bytes: 100 }] })
    await writePiece(id, 'a.dat', 0, noise(40))
    await sweepStorage()
    expect((await listModels()).find((entry) => entry.id === id)).toMatchObject({ isComplete: false, bytes: 100, storedBytes: 40 })
    await expect(storedFiles((await getModel(id))!)).rejects.toThrow('40 of 100 bytes')
  })

  test('says so where a piece is gone', async () => {
    await keepBytes('a.dat', noise(100), 50)
    const files = await storedFiles((await getModel(id))!)
    await modelPieces.delete((await storedPieces(id)).get('a.dat')![1]!.key)
    expect(await files.read('a.dat', 0, 50)).toEqual(noise(100).slice(0, 50))
    await expect(files.read('a.dat', 40, 60)).rejects.toBeInstanceOf(UserError)
  })

  test('is not deleted while it is being added to, and then leaves nothing', async () => {
    await keepBytes('a.dat', noise(100), 50)
    await withModelLock(id, () => expect(deleteModel(id)).rejects.toThrow('being downloaded'))
    await deleteModel(id)
    expect([await getModel(id), (await storedPieces(id)).size]).toEqual([undefined, 0])
  })
})

describe('what arrives', () => {
  const bytes = noise(PIECE_BYTES + 1000)
  const hash = async (): Promise<string> =>
    [...new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  const stopped = new UserError('Stopped.', 'Go on.')

  /** A file that gives so many bytes at each asking and then breaks off; what it was asked for is noted. */
  const cut = (lengths: number[], asked: number[], sha256?: string): ArrivingModel => ({
    source,
    files: [
      {
        name: 'a.dat',
        bytes: bytes.length,
        sha256,
        async *stream(begin) {
          asked.push(begin)
          const length = lengths.shift()
          if (length === undefined) throw stopped
          yield bytes.subarray(begin, begin + length)
          throw new TypeError('network error')
        }
      }
    ]
  })

  test('in parts is asked for from where it was cut, also by a later call, and its checksum is that of the whole', async () => {
    const asked: number[] = []
    await expect(keepModel(cut([100, 300], asked), () => undefined, never)).rejects.toBe(stopped)
    expect(asked).toEqual([0, 100, 400])
    asked.length = 0
    // What the bytes are is looked at last: that they came whole, and in order, was then checked.
    const end = keepModel(cut([PIECE_BYTES, bytes.length], asked, await hash()), () => undefined, never)
    await expect(end).rejects.toThrow('no model.safetensors')
    expect(asked).toEqual([400, PIECE_BYTES + 400])
    expect(await getModel(id)).toBeUndefined()
  })

  test('with another checksum is dropped', async () => {
    await expect(keepModel(cut([bytes.length], [], '0'.repeat(64)), () => undefined, never)).rejects.toThrow('checksum')
    expect((await storedPieces(id)).size).toBe(0)
  })

  test('without an end is refused as soon as it is longer than announced', async () => {
    const model = cut([], [])
    model.files[0]!.stream = async function* () {
      for (;;) yield bytes
    }
    await expect(keepModel(model, () => undefined, never)).rejects.toThrow('longer than')
  })

  test('beyond what the browser allows is refused before anything is written', async () => {
    const model = cut([1], [])
    model.files[0]!.bytes = 1e15
    await expect(keepModel(model, () => undefined, never)).rejects.toThrow('no room left')
    expect(await getModel(id)).toBeUndefined()
  })
})
