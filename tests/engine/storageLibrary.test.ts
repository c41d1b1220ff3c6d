// Races, runs and checkpoints in the real IndexedDB, with real locks and a real quota.
import fc from 'fast-check'
import { clear, createStore, get, keys, set } from 'idb-keyval'
import { cdp } from 'vitest/browser'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { describeError, UserError } from '../../src/engine/errors'
import { deleteCheckpoint, listCheckpoints, loadCheckpoint, loadForResume, saveCheckpoint } from '../../src/storage/checkpoints'
import { libraryEntries, sweepStorage, withImportLock } from '../../src/storage/library'
import { withRaceLock } from '../../src/storage/locks'
import { assertRoom, requestPersistence, storageReport } from '../../src/storage/quota'
import { createRace, deleteRace, getRace, listRaces, unfinishedRace, updateRace } from '../../src/storage/races'
import type { Checkpoint, CheckpointKind, StoredTensors } from '../../src/storage/records'
import { deleteRun, getRun, renameRun, runsOfRace, updateRun } from '../../src/storage/runs'
import type { RaceRequest } from '../../src/worker/protocol'
import { sampleRaceRequest, sampleRun, sampleRunRequest, sampleState } from '../fixtures/storageSamples'

const records = createStore('tuneground-library', 'records')
const chunks = createStore('tuneground-checkpoints', 'chunks')

beforeEach(async () => {
  await clear(records)
  await clear(chunks)
})

const tensors = (value: number): StoredTensors => ({ virtualTokens: { shape: [2, 1], data: new Float32Array([value, -value]) } })
const checkpoint = (runId: string, kind: CheckpointKind, value = 1): Checkpoint => ({
  runId,
  kind,
  state: sampleState,
  tensors: tensors(value)
})

/** A request for a race with two runs. */
function raceRequest(id: string): RaceRequest {
  const runs = ['a', 'b'].map((name) => ({ ...sampleRunRequest, id: `${id}-${name}`, name: `Run ${name}` }))
  return { ...sampleRaceRequest, id, name: `Race ${id}`, runs }
}

const thrownBy = async (work: Promise<unknown>): Promise<UserError> => {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown
  )
  expect(error).toBeInstanceOf(UserError)
  return error as UserError
}

/** Changes the bytes of a stored chunk, behind the back of everything. */
async function damage(runId: string, kind: CheckpointKind): Promise<void> {
  const all = await keys<[string, string, string, number]>(chunks)
  const key = all.filter(([type, name]) => type === 'chunk' && name === `${runId}/${kind}`).at(-1)
  const chunk = await get<Uint8Array>(key as IDBValidKey, chunks)
  await set(
    key as IDBValidKey,
    chunk?.map((byte, i) => (i === chunk.length - 1 ? byte ^ 0x80 : byte)),
    chunks
  )
}

describe('a checkpoint', () => {
  test('comes back to the bit, whatever its tensors are called and shaped', async () => {
    const bits = fc.array(fc.integer({ min: 0, max: 0xffffffff }), { minLength: 6, maxLength: 6 })
    const shape = fc.constantFrom<number[]>([6], [2, 3], [1, 6, 1], [], [0], [0, 5])
    const name = fc.string({ unit: 'binary', maxLength: 12 }).filter((text) => text.isWellFormed() && text !== '__metadata__')
    const stored = fc.dictionary(name, fc.tuple(bits, shape), { maxKeys: 5 })
    await fc.assert(
      fc.asyncProperty(stored, async (contents) => {
        const written = Object.fromEntries(
          Object.entries(contents).map(([key, [words, size]]) => {
            const length = size.reduce((product, n) => product * n, 1)
            return [key, { shape: size, data: new Float32Array(new Uint32Array(words).buffer, 0, length) }]
          })
        )
        await saveCheckpoint({ runId: 'r', kind: 'last', state: sampleState, tensors: written })
        const read = await loadCheckpoint('r', 'last')
        const bitsOf = (all: StoredTensors = {}) =>
          new Map(
            Object.entries(all).map(([key, { shape: size, data }]) => [key, { size, words: [...new Uint32Array(data.slice().buffer)] }])
          )
        expect(bitsOf(read?.tensors)).toEqual(bitsOf(written))
        expect(read?.state).toStrictEqual(sampleState)
      }),
      { numRuns: 40 }
    )
  })

  test('of each kind is kept apart, replaced and deleted alone', async () => {
    expect(await loadCheckpoint('r', 'best')).toBeUndefined()
    await saveCheckpoint(checkpoint('r', 'best', 1))
    const bytes = await saveCheckpoint(checkpoint('r', 'last', 2))
    await saveCheckpoint(checkpoint('other', 'last', 3))
    await saveCheckpoint(checkpoint('r', 'last', 4))
    expect((await loadCheckpoint('r', 'best'))?.tensors).toEqual(tensors(1))
    expect((await loadCheckpoint('r', 'last'))?.tensors).toEqual(tensors(4))
    const listed = await listCheckpoints('r')
    expect(listed.map(({ kind, bytes: size }) => [kind, size])).toEqual([
      ['best', bytes],
      ['last', bytes]
    ])
    await deleteCheckpoint('r', 'best')
    expect((await listCheckpoints()).map(({ runId, kind }) => `${runId} ${kind}`)).toEqual(['other last', 'r last'])
  })

  test('that is damaged is named; a run goes on from its best one and is told so', async () => {
    await createRace(raceRequest('1'))
    await saveCheckpoint(checkpoint('1-a', 'best', 1))
    await saveCheckpoint(checkpoint('1-a', 'last', 2))
    expect(await loadForResume('1-a')).toEqual({ checkpoint: checkpoint('1-a', 'last', 2) })
    await damage('1-a', 'last')
    const error = await thrownBy(loadCheckpoint('1-a', 'last'))
    expect(error.message).toBe('The last checkpoint of “Run a” is damaged: chunk 2 of 2 does not have its checksum.')
    expect(error.advice).toContain('best checkpoint')
    expect(await loadForResume('1-a')).toEqual({ checkpoint: checkpoint('1-a', 'best', 1), problem: error })
    await damage('1-a', 'best')
    expect(await loadForResume('1-a')).toEqual({ checkpoint: undefined, problem: error })
    expect(await loadForResume('1-b')).toEqual({ checkpoint: undefined })
  })
})

describe('a race', () => {
  test('is stored with its runs, and storing it again changes nothing', async () => {
    const race = await createRace(raceRequest('1'))
    expect(race).toMatchObject({ id: '1', name: 'Race 1', phase: 'preparing', request: raceRequest('1') })
    await updateRun('1-a', { curve: sampleRun.curve })
    await updateRace('1', { phase: 'running' })
    expect(await createRace(raceRequest('1'))).toEqual(await getRace('1'))
    expect(await runsOfRace('1')).toMatchObject([
      { id: '1-a', raceId: '1', name: 'Run a', curve: sampleRun.curve },
      { id: '1-b', raceId: '1', name: 'Run b', curve: { steps: [], validation: [] } }
    ])
  })

  test('that would take another race’s run is refused, and nothing of it is kept', async () => {
    await createRace(raceRequest('1'))
    await expect(createRace({ ...raceRequest('2'), runs: raceRequest('1').runs })).rejects.toThrow('1-a')
    expect(await getRace('2')).toBeUndefined()
    expect((await getRun('1-a'))?.raceId).toBe('1')
  })

  test('is renamed, and a name must be one', async () => {
    await createRace(raceRequest('1'))
    await updateRace('1', { name: 'Mine' })
    expect(await getRace('1')).toMatchObject({ name: 'Mine', request: { name: 'Mine' } })
    expect((await thrownBy(updateRace('1', { name: ' ' }))).message).toContain('empty')
    expect((await thrownBy(updateRace('1', { name: 'x'.repeat(101) }))).message).toContain('101')
    expect((await thrownBy(updateRace('none', { phase: 'paused' }))).message).toContain('no longer in the library')
  })

  test('is deleted with its runs and their checkpoints, and nothing else is', async () => {
    await createRace(raceRequest('1'))
    await createRace(raceRequest('2'))
    for (const run of ['1-a', '1-b', '2-a']) await saveCheckpoint(checkpoint(run, 'last'))
    await deleteRace('1')
    expect((await listRaces()).map(({ id }) => id)).toEqual(['2'])
    expect(await getRun('1-a')).toBeUndefined()
    expect((await listCheckpoints()).map(({ runId }) => runId)).toEqual(['2-a'])
    expect((await keys(records)).map(String)).toEqual(['details,2-a', 'details,2-b', 'race,2', 'run,2-a', 'run,2-b'])
  })

  test('that is unfinished is found after a reload, unless a tab is at it', async () => {
    expect(await unfinishedRace()).toBeUndefined()
    for (const id of ['1', '2', '3']) await createRace(raceRequest(id), 'running')
    await updateRace('2', { phase: 'finished' })
    await updateRace('3', { phase: 'failed' })
    expect((await unfinishedRace())?.id).toBe('1')
    await withRaceLock('1', async () => expect(await unfinishedRace()).toBeUndefined())
    expect((await unfinishedRace())?.id).toBe('1')
  })

  test('belongs to one tab at a time', async () => {
    await createRace(raceRequest('1'))
    const result = await withRaceLock('1', async () => {
      for (const work of [withRaceLock('1', () => Promise.resolve()), deleteRace('1'), deleteRun('1-a')]) {
        expect((await thrownBy(work)).message).toContain('going on already')
      }
      return withRaceLock('2', () => Promise.resolve('another race is free'))
    })
    expect(result).toBe('another race is free')
    await expect(withRaceLock('1', () => Promise.reject(new Error('failed')))).rejects.toThrow('failed')
    await deleteRace('1')
    expect(await getRace('1')).toBeUndefined()
  })
})

describe('a run', () => {
  test('keeps its curve and result', async () => {
    await createRace(raceRequest('1'))
    await updateRun('1-a', { curve: sampleRun.curve })
    await updateRun('1-a', { result: sampleRun.result })
    const run = await getRun('1-a')
    expect(run).toStrictEqual({ ...run, curve: sampleRun.curve, result: sampleRun.result })
    expect(run).not.toHaveProperty('summary')
    await updateRun('1-a', { curve: { steps: [], validation: [] } })
    expect(await getRun('1-a')).toMatchObject({ curve: { steps: [] }, result: sampleRun.result })
    expect((await thrownBy(updateRun('none', {}))).message).toContain('no longer in the library')
  })

  test('is renamed in its race, too', async () => {
    await createRace(raceRequest('1'))
    await renameRun('1-b', 'Better')
    expect(await getRun('1-b')).toMatchObject({ name: 'Better', request: { name: 'Better' } })
    expect((await getRace('1'))?.request.runs.map(({ name }) => name)).toEqual(['Run a', 'Better'])
  })

  test('is deleted with its checkpoints; the last one takes its race along', async () => {
    await createRace(raceRequest('1'))
    await saveCheckpoint(checkpoint('1-a', 'best'))
    await deleteRun('1-a')
    expect(await listCheckpoints()).toEqual([])
    expect((await getRace('1'))?.request.runs.map(({ id }) => id)).toEqual(['1-b'])
    await deleteRun('1-b')
    await deleteRun('1-b')
    expect(await keys(records)).toEqual([])
  })
})

describe('the library', () => {
  test('lists runs with what is on disk, without curves', async () => {
    await createRace({ ...raceRequest('1'), task: { kind: 'file', name: 'mine.csv', text: 'x', options: { seed: 1 } } }, 'running')
    const bytes = await saveCheckpoint(checkpoint('1-a', 'last'))
    await updateRun('1-a', { result: sampleRun.result, curve: sampleRun.curve })
    const [first, second] = await libraryEntries()
    expect(first).toStrictEqual({
      ...first,
      id: '1-a',
      raceId: '1',
      name: 'Run a',
      raceName: 'Race 1',
      model: 'tuneground-2m',
      task: 'mine.csv',
      methods: ['softPrompt'],
      phase: 'finished',
      summary: {
        stopReason: 'budget',
        bestStep: 90,
        steps: 100,
        seconds: 12.5,
        trainableParameters: 2560,
        adapterBytes: 10312,
        peakBytes: 4_000_000,
        testAccuracy: 2 / 3,
        testF1Macro: 0.1 + 0.2,
        untrainedAccuracy: 0.55,
        forgotten: 0.25
      },
      bytes: { best: 0, last: bytes }
    })
    expect(second).toMatchObject({ id: '1-b', phase: 'running', bytes: { best: 0, last: 0 } })
    expect(second).not.toHaveProperty('summary')
  })

  test('clears up checkpoints whose run is not there, but not while an import writes them', async () => {
    await createRace(raceRequest('1'))
    await saveCheckpoint(checkpoint('1-a', 'best'))
    await saveCheckpoint(checkpoint('orphan', 'best'))
    await withImportLock(sweepStorage)
    expect((await listCheckpoints()).map(({ runId }) => runId)).toEqual(['1-a', 'orphan'])
    await sweepStorage()
    expect((await listCheckpoints()).map(({ runId }) => runId)).toEqual(['1-a'])
  })
})

describe('the quota', () => {
  const devtools = (method: string, parameters: object) =>
    (cdp() as unknown as { send(method: string, parameters: object): Promise<unknown> }).send(method, parameters)

  /** The browser remembers for half a minute how much room there was, unless the site's data are cleared. */
  async function limitTo(quotaSize: number): Promise<void> {
    await devtools('Storage.overrideQuotaForOrigin', { origin: location.origin, quotaSize })
    await devtools('Storage.clearDataForOrigin', { origin: location.origin, storageTypes: 'indexeddb' })
  }
  afterEach(async () => {
    await devtools('Storage.overrideQuotaForOrigin', { origin: location.origin })
  })

  const noise = (bytes: number): Uint8Array<ArrayBuffer> => {
    const data = new Uint8Array(bytes)
    for (let begin = 0; begin < bytes; begin += 65536) crypto.getRandomValues(data.subarray(begin, begin + 65536))
    return data
  }
  const noisy = (runId: string, bytes: number): Checkpoint => ({
    ...checkpoint(runId, 'last'),
    tensors: { noise: { shape: [bytes / 4], data: new Float32Array(noise(bytes).buffer) } }
  })

  test('is reported, and asked for before a big import', async () => {
    const report = await storageReport()
    expect(report.quota).toBeGreaterThan(report.usage)
    expect(await requestPersistence()).toBe((await storageReport()).persisted)
    await assertRoom(1000)
    expect((await thrownBy(assertRoom(1e15))).message).toBe('There is no room left in the browser’s storage to keep 1000000000 MB more.')
  })

  test('when it is full leaves the checkpoint before whole and names what to delete', async () => {
    await limitTo(5_000_000)
    await createRace(raceRequest('1'))
    await saveCheckpoint(noisy('1-a', 2_000_000))
    await saveCheckpoint(checkpoint('1-b', 'last', 5))
    expect(describeError(await thrownBy(saveCheckpoint(noisy('1-b', 8_000_000))))).toEqual({
      message: 'There is no room left in the browser’s storage to keep 8.0 MB more.',
      advice: expect.stringMatching(/^Delete runs .*the largest: “Run a” \(2\.0 MB\), “Run b” \(0\.0 MB\)\./) as string
    })
    expect((await loadCheckpoint('1-b', 'last'))?.tensors).toEqual(tensors(5))
    expect((await keys<string[]>(chunks)).filter(([kind, key]) => kind === 'chunk' && key === '1-b/last')).toHaveLength(2)
  })

  test('when it is full leaves a run’s record as it was', async () => {
    await limitTo(5_000_000)
    await createRace(raceRequest('1'))
    await updateRun('1-a', { curve: sampleRun.curve })
    const text = new TextDecoder('latin1').decode(noise(8_000_000))
    const curve = { steps: [], validation: [], text }
    expect((await thrownBy(updateRun('1-a', { curve }))).advice).toContain('Free space')
    expect((await getRun('1-a'))?.curve).toStrictEqual(sampleRun.curve)
  })
})
