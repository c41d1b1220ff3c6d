// Zip archives: what is written can be read, by us and by others; what is damaged or made to hurt is refused before it does.
import fc from 'fast-check'
import { strToU8, unzipSync, zipSync } from 'fflate'
import { describe, expect, test } from 'vitest'
import { UserError } from '../../src/engine/errors'
import { readZip, writeZip } from '../../src/storage/zip'

const open = (bytes: Uint8Array<ArrayBuffer>) => readZip(new Blob([bytes]))
const readAll = async (bytes: Uint8Array<ArrayBuffer>, maximumBytes = 10_000_000) =>
  Promise.all([...(await open(bytes)).values()].map((file) => file.read(maximumBytes)))

/** Writes a field of a file's row in the directory, which follows its signature. */
function withDirectoryField(zip: Uint8Array<ArrayBuffer>, offset: number, value: number, bytes: 2 | 4): Uint8Array<ArrayBuffer> {
  const copy = zip.slice()
  const view = new DataView(copy.buffer)
  const directory = view.getUint32(copy.length - 6, true)
  if (bytes === 2) view.setUint16(directory + offset, value, true)
  else view.setUint32(directory + offset, value, true)
  return copy
}

describe('a zip that was written', () => {
  test('comes back, and opens with another reader', async () => {
    const contents = fc.array(fc.tuple(fc.uint8Array({ maxLength: 5000 }), fc.boolean()), { maxLength: 4 })
    await fc.assert(
      fc.asyncProperty(contents, async (items) => {
        const files = items.map(([bytes, compress], i) => ({ name: `файл-${i}.bin`, data: new Blob([bytes.slice()]), compress }))
        const zip = await writeZip(files)
        const others = unzipSync(new Uint8Array(await zip.arrayBuffer()))
        const ours = await readZip(zip)
        expect([...ours.keys()]).toEqual(files.map((file) => file.name))
        for (const [i, [bytes]] of items.entries()) {
          expect(await ours.get(`файл-${i}.bin`)?.read(5000)).toEqual(bytes)
          expect(others[`файл-${i}.bin`]).toEqual(bytes)
        }
      }),
      { numRuns: 40 }
    )
  })

  test('holds files longer than a piece', async () => {
    const bytes = new Uint8Array(9_000_001).map((_, i) => (i * 2654435761) >>> 13)
    for (const compress of [true, false]) {
      const zip = await writeZip([{ name: 'a', data: new Blob([bytes]), compress }])
      const read = await (await readZip(zip)).get('a')?.read(10_000_000)
      expect(Buffer.compare(read ?? new Uint8Array(), bytes)).toBe(0)
    }
  })
})

describe('a damaged or hostile zip', () => {
  const text = strToU8('{"hello": "world"} '.repeat(50))
  const deflated = zipSync({ 'run.json': text })
  const stored = zipSync({ 'run.json': [text, { level: 0 }] })

  test.each([
    ['nothing at all', new Uint8Array(0), 'its end is missing'],
    ['another kind of file', strToU8('just a text, '.repeat(9)), 'its end is missing'],
    ['encryption', withDirectoryField(deflated, 8, 1, 2), 'encrypted'],
    ['another method', withDirectoryField(deflated, 10, 12, 2), 'a method other than deflate'],
    ['a wrong checksum', withDirectoryField(deflated, 16, 1, 4), 'checksum'],
    ['a length above the limit', withDirectoryField(deflated, 24, 20_000_000, 4), '20000000 bytes'],
    ['a length that is too short', withDirectoryField(deflated, 24, 100, 4), 'longer than the directory says'],
    ['a length that is too long', withDirectoryField(deflated, 24, 5000, 4), 'shorter than the directory says'],
    ['a stored file of two lengths', withDirectoryField(stored, 24, 5000, 4), 'another length'],
    ['packed data beyond the file', withDirectoryField(deflated, 20, 0x7fffffff, 4), 'outside the file'],
    ['a header beyond the file', withDirectoryField(deflated, 42, 0x7fffffff, 4), 'outside the file'],
    ['a header inside the data', withDirectoryField(deflated, 42, 3, 4), 'outside the file'],
    ['a name longer than the directory', withDirectoryField(deflated, 28, 60_000, 2), 'directory is damaged']
  ])('of %s is refused with the reason', async (_, zip, reason) => {
    const error: unknown = await readAll(zip).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(UserError)
    expect((error as UserError).message).toContain(reason)
  })

  test('that holds a file twice is refused', async () => {
    const zip = zipSync({ 'a.json': text, 'b.json': text })
    const renamed = Uint8Array.from(zip, (byte, i) => (byte === 0x62 && zip[i + 1] === 0x2e ? 0x61 : byte))
    await expect(open(renamed)).rejects.toThrow('twice')
  })

  test('that would grow a thousandfold is refused before it is unpacked', async () => {
    const bomb = zipSync({ 'run.json': new Uint8Array(50_000_000) }, { level: 9 })
    expect(bomb.length).toBeLessThan(100_000)
    await expect(readAll(bomb, 100_000_000)).rejects.toThrow(/would grow \d+ times/)
    // Nor does it help to declare less: no more than that is taken.
    const liar = withDirectoryField(bomb, 24, 900_000, 4)
    await expect(readAll(liar, 100_000_000)).rejects.toThrow('longer than the directory says')
  })

  test('cut anywhere, or with any byte changed, gives a UserError or the right bytes, and never wrong ones', async () => {
    const where = fc.nat({ max: deflated.length - 1 })
    const outcome = async (zip: Uint8Array<ArrayBuffer>) => {
      try {
        const file = (await open(zip)).get('run.json')
        return file ? await file.read(1_000_000) : undefined
      } catch (error) {
        expect(error).toBeInstanceOf(UserError)
        return undefined
      }
    }
    for (const zip of [deflated, stored]) {
      await fc.assert(
        fc.asyncProperty(where, fc.integer({ min: 1, max: 255 }), async (at, flip) => {
          const changed = zip.slice()
          changed[at] = (changed[at] as number) ^ flip
          expect([undefined, text]).toContainEqual(await outcome(changed))
          await expect(open(zip.slice(0, at))).rejects.toBeInstanceOf(UserError)
        }),
        { numRuns: 300 }
      )
    }
  })
})
