// LoRA with dropout: chance in training steps and nowhere else, and the same chance again after a checkpoint.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Decoder } from '../../src/engine/model/decoder'
import type { RaceData } from '../../src/engine/training/data'
import type { Recipe } from '../../src/engine/training/recipe'
import { Trainer } from '../../src/engine/training/trainer'
import { backends, useBackend } from './backend'
import { alive, raceDecoder, tinyData, tinyRecipe } from './tinyRace'

const loraWith = (dropout: number): Recipe => {
  const recipe = tinyRecipe('lora', { learningRate: 0.05 })
  return { ...recipe, parts: [{ ...recipe.parts[0]!, options: { dropout } }] }
}

describe.each(backends)('%s', (backend) => {
  let decoder: Decoder
  let data: RaceData
  beforeAll(async () => {
    await useBackend(backend)
    decoder = await raceDecoder()
    data = tinyData(decoder, [loraWith(0)])
  })
  afterAll(() => decoder.dispose())

  const create = (recipe: Recipe): Promise<Trainer> =>
    Trainer.create({ decoder, recipe, budget: { kind: 'steps', steps: 50 }, encode: data.encode, labelWords: data.labelWords })

  /** Losses of `count` steps on one and the same batch. */
  async function losses(trainer: Trainer, count: number): Promise<number[]> {
    const batch = data.trainingBatches(4, 1).next()
    const found: number[] = []
    for (let i = 0; i < count; i++) {
      const record = await trainer.step(batch)
      if (record === 'diverged') throw new Error('diverged')
      found.push(record.loss)
    }
    return found
  }

  test('each step draws anew, evaluation draws nothing, and nothing is left over', async () => {
    // A learning rate of zero: only chance can change the loss.
    const start = await create(loraWith(0))
    await losses(start, 4)
    const tensors = await start.tensors('last')
    const { state } = start
    start.dispose()
    const still = loraWith(0.5)
    const trainer = await create({ ...still, parts: [{ ...still.parts[0]!, learningRate: 0 }] })
    trainer.restore({ state, tensors })
    const evaluated = async (): Promise<number> => {
      const loss = decoder.loss(data.trainingBatches(4, 1).next(), trainer.adaptation())
      const [value] = await loss.data()
      loss.dispose()
      return value!
    }
    const before = alive()
    const drawn = await losses(trainer, 4)
    expect(alive()).toEqual(before)
    expect(new Set(drawn).size).toBe(4)
    expect(await evaluated()).toBe(await evaluated())
    trainer.dispose()
  })

  test('goes on from a checkpoint with the same losses, to the bit', async () => {
    const straight = await create(loraWith(0.3))
    const whole = await losses(straight, 6)
    straight.dispose()
    const first = await create(loraWith(0.3))
    const begun = await losses(first, 3)
    const second = await create(loraWith(0.3))
    second.restore({ state: first.state, tensors: await first.tensors('last') })
    first.dispose()
    expect([...begun, ...(await losses(second, 3))]).toEqual(whole)
    expect(whole.at(-1)).toBeLessThan(whole[0]!)
    second.dispose()
  })
})
