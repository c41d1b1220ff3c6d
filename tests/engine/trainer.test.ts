// The trainer on a tiny model: what it changes and what not, going on from a snapshot, divergence, leaks.
import * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { MemoryMeter } from '../../src/engine/device/memory'
import type { Decoder } from '../../src/engine/model/decoder'
import type { RaceData } from '../../src/engine/training/data'
import type { Budget, Recipe } from '../../src/engine/training/recipe'
import type { StepRecord } from '../../src/engine/training/records'
import { Trainer } from '../../src/engine/training/trainer'
import { backends, useBackend } from './backend'
import { alive, raceDecoder, tinyData, tinyRecipe, weightValues } from './tinyRace'

describe.each(backends)('%s', (backend) => {
  let decoder: Decoder
  let data: RaceData
  beforeAll(async () => {
    await useBackend(backend)
    decoder = await raceDecoder()
    data = tinyData(decoder, [tinyRecipe('softPrompt')])
  })
  afterAll(() => decoder.dispose())

  const create = (recipe: Recipe, budget: Budget = { kind: 'steps', steps: 60 }, memory?: MemoryMeter): Promise<Trainer> =>
    Trainer.create({ decoder, recipe, budget, encode: data.encode, labelWords: data.labelWords, memory })

  async function steps(trainer: Trainer, count: number, skip = 0): Promise<StepRecord[]> {
    const batches = data.trainingBatches(4, 1)
    for (let i = 0; i < skip; i++) batches.next()
    const records: StepRecord[] = []
    for (let i = 0; i < count; i++) {
      const record = await trainer.step(batches.next())
      if (record === 'diverged') throw new Error('diverged')
      records.push(record)
    }
    return records
  }

  const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

  test.each(['softPrompt', 'allWeights'])(
    '%s learns in 50 steps, leaves the base as it was, to the bit, and no tensor or byte over',
    async (method) => {
      const base = await weightValues(decoder)
      const trainer = await create(tinyRecipe(method))
      const begun = await steps(trainer, 2)
      const before = alive()
      const losses = [...begun, ...(await steps(trainer, 50, 2))].map(({ loss }) => loss)
      expect(alive()).toEqual(before)
      expect(mean(losses.slice(-5))).toBeLessThan(mean(losses.slice(0, 5)) - 0.5)
      expect(await weightValues(decoder)).toEqual(base)
      trainer.dispose()
    }
  )

  test.each(['softPrompt', 'allWeights'])('%s goes on from a snapshot with the same losses, to the bit', async (method) => {
    const recipe = tinyRecipe(method, { schedule: { kind: 'cosine', warmupSteps: 3 } })
    const straight = await create(recipe)
    const whole = await steps(straight, 12)
    straight.dispose()
    const first = await create(recipe)
    const begun = await steps(first, 7)
    const { state } = first
    const tensors = await first.tensors('last')
    first.dispose()
    const second = await create(recipe)
    second.restore({ state, tensors })
    const resumed = [...begun, ...(await steps(second, 5, 7))]
    const numbers = (records: StepRecord[]) => records.map(({ milliseconds: _, ...numbers }) => numbers)
    expect(numbers(resumed)).toEqual(numbers(whole))
    expect(second.accounts.state.tokens).toBe(whole.reduce((sum, { tokens }) => sum + tokens, 0))
    second.dispose()
  })

  test('a loss that is not finite stops before the update: the last good tensors stay', async () => {
    const trainer = await create(tinyRecipe('allWeights', { learningRate: 1e30, optimiser: { ...tinyRecipe('x').optimiser, clipNorm: 0 } }))
    const batches = data.trainingBatches(4, 1)
    const before = alive()
    let good = await trainer.tensors('last')
    let record = await trainer.step(batches.next())
    for (let i = 0; i < 5 && record !== 'diverged'; i++) {
      good = await trainer.tensors('last')
      record = await trainer.step(batches.next())
    }
    expect(record).toBe('diverged')
    expect(await trainer.tensors('last')).toEqual(good)
    expect(alive()).toEqual(before)
    trainer.dispose()
  })

  test('the gradient is clipped by its global norm on the way into AdamW', async () => {
    const recipe = tinyRecipe('softPrompt')
    const norms: number[] = []
    const moments: number[] = []
    for (const clipNorm of [0, 1e-3]) {
      const trainer = await create({ ...recipe, optimiser: { ...recipe.optimiser, clipNorm } })
      const [record] = await steps(trainer, 1)
      const first = (await trainer.tensors('last'))['first-moment/virtualTokens']!.data
      norms.push(record!.gradientNorm)
      moments.push(Math.hypot(...first))
      trainer.dispose()
    }
    expect(norms[0]).toBeGreaterThan(0.01)
    expect(norms[1]).toBe(norms[0])
    expect(moments[0]).toBeCloseTo(0.1 * norms[0]!, 5)
    expect(moments[1]! / 1e-4).toBeCloseTo(1, 2)
  })

  test('each part of a hybrid has its own learning rate and its own tensors', async () => {
    const prompt = tinyRecipe('softPrompt', { learningRate: 0.1 }).parts[0]!
    const weights = tinyRecipe('allWeights', { learningRate: 0 }).parts[0]!
    const base = await weightValues(decoder)
    const trainer = await create({ ...tinyRecipe('softPrompt'), parts: [prompt, weights] })
    const start = (await trainer.tensors('best')).virtualTokens!.data
    const records = await steps(trainer, 3)
    const { virtualTokens, ...rest } = await trainer.tensors('best')
    expect(records[0]!.learningRates).toEqual([0.1, 0])
    expect(virtualTokens!.data).not.toEqual(start)
    for (const [name, { data: values }] of Object.entries(rest)) expect(values, name).toEqual(base[name])
    trainer.dispose()
  })

  test('a method twice is refused, and nothing is left over', async () => {
    const { parts } = tinyRecipe('allWeights')
    const before = alive()
    await expect(create({ ...tinyRecipe('allWeights'), parts: [parts[0]!, parts[0]!] })).rejects.toThrow(/The recipe has .* twice/)
    expect(alive()).toEqual(before)
  })

  test('a checkpoint of another recipe is refused and changes nothing', async () => {
    const trainer = await create(tinyRecipe('softPrompt'))
    const before = await trainer.tensors('last')
    const { state } = trainer
    expect(() => trainer.restore({ state, tensors: { virtualTokens: { shape: [2, 16], data: new Float32Array(32) } } })).toThrow(
      'does not fit'
    )
    expect(await trainer.tensors('last')).toEqual(before)
    trainer.dispose()
  })

  test('the peak above the base holds the tuned copies, their moments and the update', async () => {
    const memory = new MemoryMeter()
    const trainer = await create(tinyRecipe('allWeights'), undefined, memory)
    const resident = memory.bytes
    await steps(trainer, 2)
    const { peakBytes } = trainer.accounts.state
    // The copies, their two moments and their gradients.
    expect(peakBytes).toBeGreaterThan(4 * 4 * trainer.trainableParameters)
    expect(peakBytes).toBeLessThan(memory.peak)
    expect(memory.bytes - resident).toBeLessThan(peakBytes)
    trainer.dispose()
  })

  test('a budget of seconds is charged without the compilation of new shapes', async () => {
    const trainer = await create(tinyRecipe('softPrompt'), { kind: 'seconds', seconds: 1000 })
    await steps(trainer, 4)
    const { trainMilliseconds } = trainer.accounts.state
    expect(trainMilliseconds).toBeGreaterThan(0)
    expect(trainer.progress).toBeCloseTo(trainMilliseconds / 1e6, 12)
    trainer.dispose()
  })

  test('nothing is left over when all is disposed', async () => {
    const before = tf.memory().numTensors
    const trainer = await create(tinyRecipe('allWeights'))
    await steps(trainer, 1)
    trainer.dispose()
    expect(tf.memory().numTensors).toBe(before)
  })
})
