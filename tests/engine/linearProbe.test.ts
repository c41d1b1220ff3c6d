// The linear probe: what it learns, what it costs, and that features that are read once are the features that would be read each time.
import * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { evaluate } from '../../src/engine/evaluation/evaluate'
import { readFeatures } from '../../src/engine/evaluation/features'
import { tunedAdaptation } from '../../src/engine/methods/tuned'
import type { Decoder } from '../../src/engine/model/decoder'
import { inStages } from '../../src/engine/training/defaultRecipe'
import type { RaceData } from '../../src/engine/training/data'
import type { ClassificationResult } from '../../src/engine/training/records'
import type { RaceEvent } from '../../src/engine/training/events'
import { Race, type RaceOptions } from '../../src/engine/training/race'
import type { Recipe } from '../../src/engine/training/recipe'
import type { StoredCheckpoints } from '../../src/engine/training/run'
import { Trainer } from '../../src/engine/training/trainer'
import { backends, useBackend } from './backend'
import { alive, raceDecoder, tinyData, tinyRecipe, weightValues } from './tinyRace'

const probe = tinyRecipe('linearProbe', { learningRate: 0.1 })
const [probePart] = probe.parts
const [promptPart] = tinyRecipe('softPrompt').parts

describe.each(backends)('%s', (backend) => {
  let decoder: Decoder
  let data: ReturnType<typeof tinyData>
  beforeAll(async () => {
    await useBackend(backend)
    decoder = await raceDecoder()
    data = tinyData(decoder, [tinyRecipe('softPrompt')])
  })
  afterAll(() => decoder.dispose())

  const create = (recipe: Recipe, steps = 50): Promise<Trainer> =>
    Trainer.create({ decoder, recipe, budget: { kind: 'steps', steps }, encode: data.encode, labelWords: data.labelWords })
  const now = (): Promise<void> => Promise.resolve()

  /** Losses of steps with or without features that were read before. */
  async function losses(trainer: Trainer, count: number, cached: boolean): Promise<number[]> {
    const features = cached ? await trainer.readFeatures(data.training(), now) : undefined
    const batches = data.trainingBatches(4, 1)
    const found: number[] = []
    for (let i = 0; i < count; i++) {
      const record = await trainer.step(batches.next(), features)
      if (record === 'diverged') throw new Error('diverged')
      found.push(record.loss)
    }
    return found
  }

  test('features are the hidden states where the answers begin, in the order of the examples', async () => {
    const { values, width } = await readFeatures(decoder, data.training(), {}, now)
    expect(values).toHaveLength(40 * decoder.config.hiddenSize)
    const batch = data.trainingBatches(4, 1).next()
    const { rows, examples } = batch.classes!
    const hidden = decoder.hiddenStates({ ...batch, labelRows: rows })
    const expected = (await hidden.array()) as number[][]
    hidden.dispose()
    expected.forEach((row, i) => row.forEach((value, j) => expect(values[examples[i]! * width + j]!).toBeCloseTo(value, 4)))
  })

  test('begins with every label alike, and learns the same from features read once as from the whole pass', async () => {
    const base = await weightValues(decoder)
    const [cached, whole] = [await create(probe), await create(probe)]
    expect(cached.readsFeatures).toBe(true)
    expect(cached.trainableParameters).toBe(2 * decoder.config.hiddenSize + 2)
    const before = alive()
    const [one, other] = [await losses(cached, 24, true), await losses(whole, 24, false)]
    expect(alive()).toEqual(before)
    expect(one[0]).toBeCloseTo(Math.LN2, 5)
    one.forEach((loss, i) => expect(loss).toBeCloseTo(other[i]!, 3))
    expect(Math.max(...one.slice(-5))).toBeLessThan(Math.LN2 - 0.1)
    expect(await weightValues(decoder)).toEqual(base)
    expect(cached.accounts.state.tokens).toBe(data.training().batches.reduce((sum, { batch }) => sum + tokensOf(batch.lengths), 0))
    cached.dispose()
    whole.dispose()
  })

  test('its stored tensors answer as it did, from features or from the texts', async () => {
    const trainer = await create(probe)
    await losses(trainer, 30, true)
    const features = await readFeatures(decoder, data.validation, {}, now)
    const live = await evaluate(decoder, data.validation, trainer.adaptation(), now, features)
    const tuned = tunedAdaptation(probe.parts, await trainer.tensors('best'), decoder.config)
    trainer.dispose()
    const stored = await evaluate(decoder, data.validation, tuned.adaptation, now)
    tuned.dispose()
    expect(stored.probabilities).toEqual(live.probabilities)
    expect(live.metrics.accuracy).toBeGreaterThan(0.9)
    expect(live.loss).toBeCloseTo(live.metrics.logLoss, 6)
  })

  test('beside another part it reads anew each step, and in a stage of its own it does not', async () => {
    const together = await create({ ...probe, parts: [promptPart!, probePart!] })
    expect(together.readsFeatures).toBe(false)
    const [first, ...later] = await losses(together, 8, false)
    expect(later.at(-1)).toBeLessThan(first! - 0.05)
    together.dispose()
    const staged = await create({ ...probe, parts: inStages([promptPart!, probePart!]) }, 4)
    const seen: boolean[] = []
    for (let i = 0; i < 4; i++) {
      seen.push(staged.readsFeatures)
      await losses(staged, 1, staged.readsFeatures)
    }
    expect(seen).toEqual([false, false, true, true])
    staged.dispose()
  })
})

const tokensOf = (lengths: Int32Array): number => lengths.reduce((sum, length) => sum + length, 0)

describe('in a race', () => {
  let decoder: Decoder
  let data: RaceData
  beforeAll(async () => {
    await useBackend('wasm')
    decoder = await raceDecoder()
    data = tinyData(decoder, [probe])
  })
  afterAll(() => decoder.dispose())

  async function race(recipe: Recipe, changes: Partial<RaceOptions> = {}): Promise<RaceEvent[]> {
    const events: RaceEvent[] = []
    const made = await Race.create({
      decoder,
      data,
      runs: [{ id: 'probe', name: 'Probe', recipe }],
      settings: { budget: { kind: 'steps', steps: 12 }, evaluateEvery: 5, patience: 0 },
      listener: (event) => events.push(event),
      ...changes
    })
    await made.run()
    made.dispose()
    return events
  }
  const stepsOf = (events: RaceEvent[]) => events.flatMap((event) => (event.type === 'step' ? [event.record.loss] : []))
  const resultOf = (events: RaceEvent[]) => events.flatMap((event) => (event.type === 'result' ? [event.result] : []))[0]!

  test('has a result as other methods have, and forgets nothing', async () => {
    // The first race makes the table of positions, which stays.
    await race(probe)
    const before = tf.memory().numTensors
    const events = await race(probe)
    expect(tf.memory().numTensors).toBe(before)
    const { test: tested, forgetting, cost } = resultOf(events) as ClassificationResult
    expect(tested.accuracy).toBeGreaterThan(0.8)
    expect(forgetting.after).toBe(forgetting.before)
    expect(cost).toMatchObject({ steps: 12, trainableParameters: 2 * decoder.config.hiddenSize + 2 })
  })

  test('goes on from a checkpoint with the same losses, to the bit', async () => {
    const straight = stepsOf(await race(probe))
    const checkpoints = new Map<string, StoredCheckpoints>()
    const begun = await race(probe, {
      settings: { budget: { kind: 'steps', steps: 6 }, evaluateEvery: 5, patience: 0 },
      onCheckpoint: async (run, kind, take) => {
        checkpoints.set(run, { ...checkpoints.get(run), [kind]: structuredClone(await take()) })
      }
    })
    delete checkpoints.get('probe')!.last!.state.stopReason
    expect([...stepsOf(begun), ...stepsOf(await race(probe, { checkpoints }))]).toEqual(straight)
  })

  test('ends a long budget of seconds after its passes over the examples', async () => {
    const parts = [{ ...probePart!, options: { passes: 2 } }]
    const settings = { budget: { kind: 'seconds' as const, seconds: 1000 }, evaluateEvery: 50, patience: 0 }
    const events = await race({ ...probe, parts, schedule: { kind: 'linear', warmupSteps: 0 } }, { settings })
    expect(stepsOf(events)).toHaveLength(20)
    expect(resultOf(events).stopReason).toBe('budget')
    const rates = events.flatMap((event) => (event.type === 'step' ? event.record.learningRates : []))
    expect(rates.at(-1)).toBeCloseTo(0.1 / 20, 3)
  })
})
