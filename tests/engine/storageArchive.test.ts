// Runs as archives in the real IndexedDB: out and in again to the bit, in a worker too; hostile ones leave nothing behind.
import fc from 'fast-check'
import { clear, createStore, get, keys, set } from 'idb-keyval'
import { strFromU8, strToU8, unzipSync, zipSync } from 'fflate'
import { beforeEach, describe, expect, test } from 'vitest'
import { UserError } from '../../src/engine/errors'
import { readSafetensors, tensorToFloat32, writeSafetensors } from '../../src/engine/formats/safetensors'
import { exportRun, importRun } from '../../src/storage/archive'
import { listCheckpoints, loadCheckpoint, saveCheckpoint } from '../../src/storage/checkpoints'
import { parseExactly, stringifyExactly } from '../../src/storage/exactJson'
import { createRace, deleteRace, getRace, listRaces } from '../../src/storage/races'
import type { StoredTensors } from '../../src/storage/records'
import { getRun, updateRun } from '../../src/storage/runs'
import { sampleRaceRequest, sampleRun, sampleState } from '../fixtures/storageSamples'

const records = createStore('tuneground-library', 'records')
const chunks = createStore('tuneground-checkpoints', 'chunks')

beforeEach(async () => {
  await clear(records)
  await clear(chunks)
})

const best: StoredTensors = { virtualTokens: { shape: [2, 2], data: new Float32Array([0.1, -0, NaN, Infinity]) } }
const last: StoredTensors = {
  ...best,
  'first-moment/virtualTokens': { shape: [2, 2], data: new Float32Array([1e-45, 1, 2, 3]) },
  'second-moment/virtualTokens': { shape: [2, 2], data: new Float32Array(4) }
}

/** Stores a finished run with both checkpoints, as a race leaves it. */
async function storeRun(): Promise<void> {
  await createRace(sampleRaceRequest, 'finished')
  await updateRun('run-1', { curve: sampleRun.curve, result: sampleRun.result })
  await saveCheckpoint({ runId: 'run-1', kind: 'best', state: { ...sampleState, step: 90 }, tensors: best })
  await saveCheckpoint({ runId: 'run-1', kind: 'last', state: sampleState, tensors: last })
}

type Files = Record<string, Uint8Array<ArrayBuffer>>
const exported = async (): Promise<Files> => unzipSync(new Uint8Array(await (await exportRun('run-1')).arrayBuffer())) as Files

const bits = (tensors: StoredTensors = {}) =>
  Object.entries(tensors).map(([name, { shape, data }]) => ({ name, shape, words: [...new Uint32Array(data.slice().buffer)] }))

describe('an exported run', () => {
  test('opens with any tool: JSON, a card, and safetensors', async () => {
    await storeRun()
    const files = await exported()
    expect(Object.keys(files)).toEqual(['README.md', 'run.json', 'best.safetensors', 'last.safetensors'])
    const document = JSON.parse(strFromU8(files['run.json'] as Uint8Array)) as Record<string, unknown>
    expect(document).toMatchObject({ format: 'tuneground-run', version: 1, run: { id: 'run-1' }, checkpoints: { best: { step: 90 } } })
    const file = readSafetensors(files['last.safetensors'] as Uint8Array)
    expect([...file.tensors.keys()].sort()).toEqual(Object.keys(last).sort())
    expect([...tensorToFloat32(file, 'first-moment/virtualTokens')]).toEqual([Math.fround(1e-45), 1, 2, 3])
    const card = strFromU8(files['README.md'] as Uint8Array)
    expect(card).toContain('# Soft prompt, 20 \\<tokens\\>')
    expect(card).toContain('- Base model: tuneground-2m')
    expect(card).toContain('- Soft prompt: virtualTokens 20, start text, text NaN, shuffled true, learningRate 0.3, weightDecay 0')
    expect(card).toContain('| Accuracy | 0.667 | 0.550 | 0.667 |')
    expect(card).toContain('- last.safetensors: tensors after step 37, float32')
    expect(card).not.toContain('text of this file')
  })

  test('comes back after it was deleted, with its id and to the bit', async () => {
    await storeRun()
    const [run, race] = [await getRun('run-1'), await getRace('race-1')]
    const archive = await exportRun('run-1')
    await deleteRace('race-1')
    const imported = await importRun(archive)
    expect(imported).toStrictEqual(run)
    expect(await getRun('run-1')).toStrictEqual(run)
    expect(await getRace('race-1')).toStrictEqual(race)
    const [readBest, readLast] = [await loadCheckpoint('run-1', 'best'), await loadCheckpoint('run-1', 'last')]
    expect(bits(readBest?.tensors)).toEqual(bits(best))
    expect(new Set(bits(readLast?.tensors))).toEqual(new Set(bits(last)))
    expect(readBest?.state).toStrictEqual({ ...sampleState, step: 90 })
    expect(readLast?.state).toStrictEqual(sampleState)
  })

  test('comes beside the one that is there, under a new id and name', async () => {
    await storeRun()
    const archive = new Uint8Array(await (await exportRun('run-1')).arrayBuffer())
    const [first, second] = [await importRun(archive), await importRun(archive)]
    expect([first.name, second.name]).toEqual([`${sampleRun.name} (imported)`, `${sampleRun.name} (imported 2)`])
    expect(new Set(['run-1', first.id, second.id]).size).toBe(3)
    expect(first.request).toMatchObject({ id: first.id, name: first.name })
    expect(await getRace(first.raceId)).toMatchObject({
      name: `${sampleRaceRequest.name} (imported)`,
      phase: 'finished',
      request: { id: first.raceId, runs: [{ id: first.id }] }
    })
    expect((await loadCheckpoint(second.id, 'last'))?.state).toStrictEqual(sampleState)
    expect((await getRun('run-1'))?.name).toBe(sampleRun.name)
  })

  test('that is unfinished and of one’s own data says so, and can go on', async () => {
    const task = { kind: 'file', name: 'mine.csv', text: 'text,label\nhello,a', options: { seed: 1 } } as const
    await createRace({ ...sampleRaceRequest, task }, 'running')
    await saveCheckpoint({ runId: 'run-1', kind: 'last', state: sampleState, tensors: last })
    const files = await exported()
    expect(Object.keys(files)).toEqual(['README.md', 'run.json', 'last.safetensors'])
    expect(strFromU8(files['README.md'] as Uint8Array)).toContain('The text of this file is in `run.json`')
    const { raceId } = await importRun(zipSync(files))
    expect(await getRace(raceId)).toMatchObject({ phase: 'paused', request: { task } })
  })

  test('leaves out a damaged last checkpoint with a word in the card, but not a damaged best one', async () => {
    await storeRun()
    const damage = async (kind: string) => {
      const chunkKeys = (await keys<[string, string, string, number]>(chunks)).filter(
        ([type, key]) => type === 'chunk' && key.endsWith(kind)
      )
      const key = chunkKeys.at(-1) as IDBValidKey
      await set(key, (await get<Uint8Array>(key, chunks))?.slice(1), chunks)
    }
    await damage('last')
    const files = await exported()
    expect(Object.keys(files)).toEqual(['README.md', 'run.json', 'best.safetensors'])
    expect(strFromU8(files['README.md'] as Uint8Array)).toContain('The last checkpoint is left out: ')
    await damage('best')
    await expect(exportRun('run-1')).rejects.toThrow(/best checkpoint of .* is damaged/)
    await expect(exportRun('none')).rejects.toThrow('no longer in the library')
  })

  test('goes out and in within a worker, where there is no page', async () => {
    await storeRun()
    const worker = new Worker(new URL('./storageArchiveWorker.ts', import.meta.url), { type: 'module' })
    const answer = new Promise<unknown>((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data)
      worker.onerror = reject
    })
    worker.postMessage('run-1')
    expect(await answer).toEqual({ name: `${sampleRun.name} (imported)`, persisted: false })
    worker.terminate()
    expect(await listRaces()).toHaveLength(2)
  })
})

describe('a hostile archive', () => {
  /** Changes one place of `run.json`, given as a path. */
  const edited = (files: Files, path: string, value: unknown): Files => {
    const document = parseExactly(strFromU8(files['run.json'] as Uint8Array)) as Record<string, unknown>
    const names = path.split('.')
    const field = names.pop() as string
    const parent = names.reduce((object, name) => object[name] as Record<string, unknown>, document)
    if (value === undefined) delete parent[field]
    else parent[field] = value
    return { ...files, 'run.json': strToU8(stringifyExactly(document)) }
  }
  const without = (files: Files, name: string): Files => Object.fromEntries(Object.entries(files).filter(([other]) => other !== name))
  const float16File = strToU8('        {"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}      ')
  new DataView(float16File.buffer).setBigUint64(0, BigInt(float16File.length - 10), true)

  const attacks: [string, (files: Files) => Files, RegExp][] = [
    ['no run.json', (files) => without(files, 'run.json'), /no run\.json/],
    ['a run.json that is not JSON', (files) => ({ ...files, 'run.json': strToU8('{') }), /not JSON/],
    ['a run.json nested without end', (files) => ({ ...files, 'run.json': strToU8('['.repeat(1e6)) }), /not JSON/],
    ['another format', (files) => edited(files, 'format', 'gguf'), /in run\.json, format: /],
    ['a newer version', (files) => edited(files, 'version', 2), /newer version/],
    ['a missing field', (files) => edited(files, 'run.curve', undefined), /run\.curve: /],
    ['a field of another type', (files) => edited(files, 'run.result.cost.seconds', '1'), /run\.result\.cost\.seconds: /],
    [
      'a random state that is none',
      (files) => edited(files, 'checkpoints.last.random', [1, 2, 3, 2 ** 40]),
      /checkpoints\.last\.random\.3: /
    ],
    [
      'a model on another site',
      (files) => edited(files, 'race.request.model.path', 'https://evil.example/m'),
      /race\.request\.model\.path: /
    ],
    ['a task above the site', (files) => edited(files, 'race.request.task.path', '../../secrets'), /race\.request\.task\.path: /],
    ['a tensor file that is missing', (files) => without(files, 'best.safetensors'), /best\.safetensors, which is missing/],
    [
      'a tensor file that is none',
      (files) => ({ ...files, 'last.safetensors': strToU8('{"a":1}'.repeat(9)) }),
      /safetensors file cannot be read/
    ],
    ['tensors of another dtype', (files) => ({ ...files, 'last.safetensors': float16File }), /“a” is F16, not F32/]
  ]
  test.each(attacks)('with %s is refused with the reason, and nothing of it is kept', async (_, attack, reason) => {
    await storeRun()
    const archive = zipSync(attack(await exported()))
    await clear(records)
    await clear(chunks)
    const error: unknown = await importRun(archive).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(UserError)
    expect((error as UserError).message).toMatch(reason)
    expect(await listCheckpoints()).toEqual([])
    expect(await keys(chunks)).toEqual([])
    expect(await keys(records)).toEqual([])
  })

  test('cut anywhere is refused, and nothing of it is kept', async () => {
    await storeRun()
    const archive = new Uint8Array(await (await exportRun('run-1')).arrayBuffer())
    await clear(records)
    await clear(chunks)
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: archive.length - 1 }), async (length) => {
        await expect(importRun(archive.slice(0, length))).rejects.toBeInstanceOf(UserError)
      }),
      { numRuns: 60 }
    )
    expect(await keys(chunks)).toEqual([])
    expect(await keys(records)).toEqual([])
  })

  test('cannot choose ids that reach into other runs', async () => {
    await storeRun()
    const files = edited(await exported(), 'run.id', '../run-1/last')
    const { id } = await importRun(zipSync(files))
    expect(id).toMatch(/^[0-9a-f-]{36}$/)
  })

  test('with more tensors than are asked for brings nothing else in', async () => {
    await storeRun()
    const files = await exported()
    const { id } = await importRun(zipSync({ ...files, 'more.safetensors': writeSafetensors(best), '../../etc/passwd': strToU8('x') }))
    expect((await listCheckpoints(id)).map(({ kind }) => kind)).toEqual(['best', 'last'])
  })
})
