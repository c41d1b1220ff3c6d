// Adapters that come into the library and runs that go on from others: they begin with exactly those tensors, at step 0, and nothing is kept of what does not fit.
import { clear, createStore } from 'idb-keyval'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { DeviceReport } from '../../src/engine/device/report'
import { evaluate } from '../../src/engine/evaluation/evaluate'
import { exportPeft } from '../../src/engine/formats/peft'
import { tunedAdaptation } from '../../src/engine/methods/tuned'
import type { Decoder } from '../../src/engine/model/decoder'
import { Random } from '../../src/engine/random'
import type { StoredTensors } from '../../src/engine/training/checkpoint'
import type { RaceData } from '../../src/engine/training/data'
import type { RaceEvent } from '../../src/engine/training/events'
import { Race } from '../../src/engine/training/race'
import type { ClassificationResult } from '../../src/engine/training/records'
import { libraryEntries } from '../../src/storage/library'
import { RaceKeeper } from '../../src/worker/raceKeeper'
import type { Loaders } from '../../src/worker/openedRuns'
import type { RaceRequest } from '../../src/worker/protocol'
import { importAdapter, tuneFurther } from '../../src/worker/transfer'
import type { AdapterImport } from '../../src/worker/transferCalls'
import { useBackend } from './backend'
import { raceDecoder, tinyData, tinyRecipe, tinyTask } from './tinyRace'

const { parts, ...recipe } = tinyRecipe('softPrompt')
let device: DeviceReport
let decoder: Decoder
let data: RaceData
let loaders: Loaders
let tensors: StoredTensors
let adapter: AdapterImport

beforeAll(async () => {
  device = await useBackend('wasm')
  decoder = await raceDecoder()
  data = tinyData(decoder, [{ parts, ...recipe }])
  loaders = {
    useModel: () => Promise.resolve({ decoder } as Awaited<ReturnType<Loaders['useModel']>>),
    useTask: () => Promise.resolve({ data: tinyTask } as Awaited<ReturnType<Loaders['useTask']>>)
  }
  const random = new Random(5)
  const length = 4 * decoder.config.hiddenSize
  tensors = { virtualTokens: { shape: [4, decoder.config.hiddenSize], data: Float32Array.from({ length }, () => random.normal()) } }
  const { config, layout } = decoder
  adapter = {
    adapters: [exportPeft(parts[0]!, tensors, { config, layout, name: 'tiny' })],
    name: 'From PEFT',
    model: { kind: 'site', path: 'models/tiny' },
    task: { kind: 'site', path: 'tasks/tiny' },
    settings: { budget: { kind: 'steps', steps: 3 }, evaluateEvery: 3, patience: 0 },
    recipe,
    rates: { learningRate: 0.2 },
    evaluateOnly: false
  }
})

afterAll(() => decoder.dispose())

beforeEach(async () => {
  await clear(createStore('tuneground-library', 'records'))
  await clear(createStore('tuneground-checkpoints', 'chunks'))
})

/** Runs a stored race as the worker does. */
async function run(request: RaceRequest): Promise<RaceEvent[]> {
  const events: RaceEvent[] = []
  const { keeper, checkpoints } = await RaceKeeper.open(request, device, (event) => events.push(event))
  const listener = (event: RaceEvent): void => {
    keeper.note(event)
    events.push(event)
  }
  const { runs, settings } = request
  const race = await Race.create({
    ...{ decoder, data, runs, settings, listener, checkpoints },
    onCheckpoint: (_run, _kind, take) => keeper.save(request.runs[0]!.id, take)
  })
  await race.run()
  race.dispose()
  await keeper.settled()
  return events
}

async function lossOf(stored: StoredTensors): Promise<number> {
  const tuned = tunedAdaptation(parts, stored, decoder.config)
  const { loss } = await evaluate(decoder, data.validation as Parameters<typeof evaluate>[1], tuned.adaptation)
  tuned.dispose()
  return loss
}

const validations = (events: RaceEvent[]) => events.flatMap((event) => (event.type === 'validation' ? [event.record] : []))

test('an adapter is tuned further from its own tensors, and another run from the result', async () => {
  const request = await importAdapter(adapter, device, loaders)
  expect(request.runs[0]!.recipe.parts[0]).toMatchObject({ method: 'softPrompt', options: { virtualTokens: 4 }, learningRate: 0.2 })
  const events = await run(request)
  const [first, last] = validations(events)
  expect(first).toMatchObject({ step: 0, loss: await lossOf(tensors) })
  expect(last!.step).toBe(3)
  expect(events.filter(({ type }) => type === 'problem')).toEqual([])

  const further = await tuneFurther(request.runs[0]!.id, adapter.settings, device)
  expect(further.runs[0]).toMatchObject({ name: 'From PEFT, further', startedFrom: 'From PEFT' })
  const best = [first!, last!].find(({ step }) => step === resultOf(events).bestStep)!
  expect(validations(await run(further))[0]!.loss).toBe(best.loss)
})

test('an adapter that is only tested takes no step', async () => {
  const request = await importAdapter({ ...adapter, evaluateOnly: true }, device, loaders)
  const events = await run(request)
  expect(events.filter(({ type }) => type === 'step')).toEqual([])
  const result = resultOf(events)
  expect(result).toMatchObject({
    bestStep: 0,
    stopReason: 'stopped',
    cost: { steps: 0, trainableParameters: 4 * decoder.config.hiddenSize }
  })
  expect(result.test.accuracy).not.toBeNaN()
  expect((await libraryEntries())[0]).toMatchObject({ name: 'From PEFT', phase: 'finished' })
})

test('an adapter of another base is refused by the tensor that does not fit, and leaves nothing', async () => {
  const wide = { virtualTokens: { shape: [4, 7], data: new Float32Array(28) } }
  const { config, layout } = decoder
  const adapters = [exportPeft(parts[0]!, wide, { config, layout, name: 'wider' })]
  await expect(importAdapter({ ...adapter, adapters }, device, loaders)).rejects.toMatchObject({
    name: 'UserError',
    message: `This adapter does not fit the model: "prompt_embeddings" has the shape [4, 7], and [4, ${config.hiddenSize}] is needed.`
  })
  const twice = [...adapter.adapters, ...adapter.adapters]
  await expect(importAdapter({ ...adapter, adapters: twice }, device, loaders)).rejects.toThrow('The recipe has Soft prompt twice')
  expect(await libraryEntries()).toEqual([])
})

function resultOf(events: RaceEvent[]): ClassificationResult {
  const result = events.flatMap((event) => (event.type === 'result' ? [event.result] : []))[0]
  if (result?.kind !== 'classification') throw new Error('no result')
  return result
}
