// 200 model folders and archives made to hurt: each gets a UserError within 5 s, and none leaves memory behind.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { UserError } from '../../src/engine/errors'
import { blobFiles } from '../../src/engine/formats/modelFiles'
import { openModelFolder } from '../../src/engine/model/modelFolder'
import { Random } from '../../src/engine/random'
import { openLocalModel } from '../../src/worker/sources/local'
import { honest, hostileKinds, hostileZips } from './hostileModels'
import { filesOf } from './modelFolders'

const MILLISECONDS = 5000
const FOLDERS = 6
const ZIPS = 4

setFlagsFromString('--expose_gc')
const collectGarbage = runInNewContext('gc') as () => void

function heldBytes(): number {
  collectGarbage()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** As the page takes an archive: unpacked file by file, then opened. */
async function openZip(zip: Uint8Array): Promise<void> {
  const { files } = await openLocalModel([{ path: 'model.zip', file: new Blob([zip as BlobPart]) }])
  const unpacked = new Map<string, Blob>()
  for (const { name, stream } of files) {
    const pieces: BlobPart[] = []
    for await (const piece of stream(0)) pieces.push(piece as BlobPart)
    unpacked.set(name, new Blob(pieces))
  }
  await openModelFolder(blobFiles(unpacked))
}

async function expectRefusal(open: () => Promise<unknown>): Promise<void> {
  const begin = performance.now()
  const error = await open().then(
    () => 'It was opened.',
    (reason: unknown) => reason
  )
  expect(error).toBeInstanceOf(UserError)
  const { message, advice } = error as UserError
  expect(message.length).toBeLessThan(1000)
  expect(advice).not.toBe('')
  expect(performance.now() - begin).toBeLessThan(MILLISECONDS)
}

test('the honest model can be opened', async () => {
  expect((await openModelFolder(filesOf(honest))).parameters).toBeGreaterThan(0)
})

describe('folders and archives made to hurt', () => {
  let opened = 0
  let before = 0

  test('are counted from here', () => {
    before = heldBytes()
  })

  for (const [kind, make] of Object.entries(hostileKinds)) {
    test(kind, { timeout: 60_000 }, async () => {
      for (let seed = 0; seed < FOLDERS; seed++) {
        const folder = make(new Random(seed + 1))
        await expectRefusal(() => openModelFolder(filesOf(folder)))
        opened++
      }
    })
  }
  for (const [kind, make] of Object.entries(hostileZips)) {
    test(`a zip ${kind}`, { timeout: 60_000 }, async () => {
      for (let seed = 0; seed < ZIPS; seed++) {
        const zip = make(new Random(seed + 1))
        await expectRefusal(() => openZip(zip))
        opened++
      }
    })
  }

  test('were at least 200, and nothing of them is held', () => {
    expect(opened).toBeGreaterThanOrEqual(200)
    expect(heldBytes() - before).toBeLessThan(30_000_000)
  })
})
