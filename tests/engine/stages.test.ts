// Parts of a recipe that are trained in windows of the budget: frozen outside, on their own clock inside, and exact across an edge.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { OptionValues, SavedPrompt } from '../../src/engine/methods/method'
import type { Decoder } from '../../src/engine/model/decoder'
import type { StoredTensors } from '../../src/engine/training/checkpoint'
import type { RaceData } from '../../src/engine/training/data'
import type { Budget, Recipe, RecipePart } from '../../src/engine/training/recipe'
import type { StepRecord } from '../../src/engine/training/records'
import { Trainer, type TrainerOptions } from '../../src/engine/training/trainer'
import { backends, useBackend } from './backend'
import { alive, raceDecoder, tinyData, tinyRecipe } from './tinyRace'

const LEARNING_RATE = 0.05
const partOf = (method: string, window?: RecipePart['window'], options: OptionValues = {}): RecipePart => ({
  method,
  options: method === 'softPrompt' ? { virtualTokens: 4, ...options } : options,
  learningRate: LEARNING_RATE,
  weightDecay: 0.1,
  ...(window && { window })
})
const first = { from: 0, to: 0.5 }
const second = { from: 0.5, to: 1 }
const unclipped = { ...tinyRecipe('softPrompt').optimiser, clipNorm: 0 }
const recipeOf = (parts: RecipePart[], changes: Partial<Recipe> = {}): Recipe => ({ ...tinyRecipe('softPrompt'), parts, ...changes })
const promptThenLora = [partOf('lora', second), partOf('softPrompt', first)]

describe.each(backends)('%s', (backend) => {
  let decoder: Decoder
  let data: RaceData
  beforeAll(async () => {
    await useBackend(backend)
    decoder = await raceDecoder()
    data = tinyData(decoder, [tinyRecipe('softPrompt')])
  })
  afterAll(() => decoder.dispose())

  const create = (recipe: Recipe, budget: Budget, more: Partial<TrainerOptions> = {}): Promise<Trainer> =>
    Trainer.create({ decoder, recipe, budget, encode: data.encode, labelWords: data.labelWords, ...more })

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

  const losses = (records: StepRecord[]): number[] => records.map(({ loss }) => loss)
  const namesWith = (tensors: StoredTensors, text: string): string[] => Object.keys(tensors).filter((name) => name.includes(text))
  const valuesOf = (tensors: StoredTensors, names: string[]): Float32Array[] => names.map((name) => tensors[name]!.data)

  test('a frozen part stays as it is to the bit, its moments too, and leaves no tensor over', async () => {
    const trainer = await create(recipeOf(promptThenLora), { kind: 'steps', steps: 8 })
    const start = await trainer.tensors('last')
    const [lora, prompt] = [namesWith(start, 'lora'), namesWith(start, 'virtualTokens')]
    const begun = await steps(trainer, 4)
    const middle = await trainer.tensors('last')
    const before = alive()
    const rest = await steps(trainer, 4, 4)
    expect(alive()).toEqual(before)
    const end = await trainer.tensors('last')
    trainer.dispose()
    expect(lora).toHaveLength(84)
    expect(valuesOf(middle, lora)).toEqual(valuesOf(start, lora))
    expect(valuesOf(middle, prompt)).not.toEqual(valuesOf(start, prompt))
    expect(valuesOf(end, prompt)).toEqual(valuesOf(middle, prompt))
    expect(valuesOf(end, lora)).not.toEqual(valuesOf(middle, lora))
    expect([...begun, ...rest].map(({ learningRates }) => learningRates.map(Boolean))).toEqual([
      ...Array<boolean[]>(4).fill([false, true]),
      ...Array<boolean[]>(4).fill([true, false])
    ])
  })

  test('two stages are two runs one after the other, each with its own warm-up and decay', async () => {
    const schedule: Recipe['schedule'] = { kind: 'linear', warmupSteps: 2 }
    const staged = await create(recipeOf(promptThenLora, { schedule, optimiser: unclipped }), { kind: 'steps', steps: 12 })
    const whole = await steps(staged, 12)
    const end = await staged.tensors('best')
    staged.dispose()

    // LoRA comes first in both, so that it draws the same first values.
    const alone = await create(recipeOf([partOf('softPrompt')], { schedule, optimiser: unclipped }), { kind: 'steps', steps: 6 })
    // Its prompt draws other words where LoRA draws none before it.
    const { virtualTokens: drawn } = await firstTensors(recipeOf(promptThenLora))
    alone.restore({ state: alone.state, tensors: { ...(await alone.tensors('last')), virtualTokens: drawn! } })
    const one = await steps(alone, 6)
    const { virtualTokens: learnt } = await alone.tensors('best')
    alone.dispose()
    const saved = new Map<string, SavedPrompt>([['one', { name: 'One', shape: [4, decoder.config.hiddenSize], data: learnt!.data }]])
    const held = { ...partOf('softPrompt', undefined, { start: 'saved', savedRun: 'one' }), learningRate: 0 }
    const next = await create(recipeOf([partOf('lora'), held], { schedule, optimiser: unclipped }), { kind: 'steps', steps: 6 }, { saved })
    const two = await steps(next, 6, 6)
    const expected = await next.tensors('best')
    next.dispose()

    const highestRate = ({ learningRates }: (typeof whole)[number]): number => Math.max(...learningRates)
    ;[...one, ...two].forEach((record, i) => expect(highestRate(whole[i]!)).toBeCloseTo(highestRate(record), 9))
    losses([...one, ...two]).forEach((loss, i) => expect(whole[i]!.loss / loss).toBeCloseTo(1, 4))
    for (const [name, { data: values }] of Object.entries(expected)) {
      values.forEach((value, i) => expect(Math.abs(end[name]!.data[i]! - value), name).toBeLessThan(1e-4))
    }
  })

  async function firstTensors(recipe: Recipe): Promise<StoredTensors> {
    const trainer = await create(recipe, { kind: 'steps', steps: 2 })
    const tensors = await trainer.tensors('best')
    trainer.dispose()
    return tensors
  }

  test('the first update of a late part is a whole one: its bias correction counts its own steps', async () => {
    const late = { ...partOf('lora', second), weightDecay: 0 }
    const trainer = await create(recipeOf([late, partOf('softPrompt', first)], { optimiser: unclipped }), { kind: 'steps', steps: 8 })
    await steps(trainer, 5)
    const name = 'model.layers.0.self_attn.q_proj.lora_B.weight'
    const { [name]: up, [`first-moment/${name}`]: moment } = await trainer.tensors('last')
    trainer.dispose()
    // AdamW's first step is the learning rate by the gradient's sign, wherever the gradient is far from epsilon.
    const clear = [...moment!.data.keys()].filter((i) => Math.abs(moment!.data[i]!) > 1e-5)
    expect(clear.length).toBeGreaterThan(20)
    for (const i of clear) expect(Math.abs(up!.data[i]!) / LEARNING_RATE).toBeCloseTo(1, 2)
  })

  test.each([3, 4, 6])('goes on from a checkpoint at step %d of two stages of 4 with the same losses, to the bit', async (at) => {
    const recipe = recipeOf(promptThenLora, { schedule: { kind: 'cosine', warmupSteps: 2 } })
    const budget: Budget = { kind: 'steps', steps: 8 }
    const straight = await create(recipe, budget)
    const whole = await steps(straight, 8)
    straight.dispose()
    const cut = await create(recipe, budget)
    await steps(cut, at)
    const { state } = cut
    const tensors = await cut.tensors('last')
    cut.dispose()
    const resumed = await create(recipe, budget)
    resumed.restore({ state, tensors })
    expect(losses(await steps(resumed, 8 - at, at))).toEqual(losses(whole.slice(at)))
    expect(resumed.state.partSteps).toEqual([4, 4])
    resumed.dispose()
  })

  test('in a budget of seconds the share is training time', async () => {
    const trainer = await create(recipeOf(promptThenLora), { kind: 'seconds', seconds: 1000 })
    const [early] = await steps(trainer, 1)
    expect(early!.learningRates).toEqual([0, LEARNING_RATE])
    const { accounts, ...state } = trainer.state
    trainer.restore({ state: { ...state, accounts: { ...accounts, trainMilliseconds: 600_000 } }, tensors: await trainer.tensors('last') })
    const [late] = await steps(trainer, 1)
    expect(late!.learningRates).toEqual([LEARNING_RATE, 0])
    expect(trainer.state.partSteps).toEqual([1, 1])
    trainer.dispose()
  })
})
