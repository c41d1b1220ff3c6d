// Steps that compute each layer twice: the same numbers as without, in less memory.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { MemoryMeter } from '../../src/engine/device/memory'
import type { Decoder } from '../../src/engine/model/decoder'
import type { RaceData } from '../../src/engine/training/data'
import type { Recipe } from '../../src/engine/training/recipe'
import { Trainer } from '../../src/engine/training/trainer'
import { backends, useBackend } from './backend'
import { alive, raceDecoder, tinyData, tinyRecipe } from './tinyRace'

describe.each(backends)('%s', (backend) => {
  let decoder: Decoder
  let data: RaceData
  beforeAll(async () => {
    await useBackend(backend)
    decoder = await raceDecoder()
    data = tinyData(decoder, [tinyRecipe('softPrompt')])
  })
  afterAll(() => decoder.dispose())

  async function train(recipe: Recipe, gradientCheckpointing: boolean, memory?: MemoryMeter, model = decoder) {
    const { encode, labelWords } = data
    const budget = { kind: 'steps', steps: 10 } as const
    const trainer = await Trainer.create({
      decoder: model,
      recipe: { ...recipe, gradientCheckpointing },
      budget,
      encode,
      labelWords,
      memory
    })
    const batches = data.trainingBatches(4, 1)
    const records = []
    for (let i = 0; i < 4; i++) {
      const record = await trainer.step(batches.next())
      if (record === 'diverged') throw new Error('diverged')
      records.push({ loss: record.loss, gradientNorm: record.gradientNorm })
    }
    const { peakBytes } = trainer.accounts.state
    const tensors = await trainer.tensors('last')
    trainer.dispose()
    return { records, tensors, peakBytes }
  }

  const prompt = tinyRecipe('softPrompt').parts[0]!
  const reparameterised = { ...tinyRecipe('prefix').parts[0]!, options: { virtualTokens: 3, reparameterise: true } }
  test.each([
    ['all weights', tinyRecipe('allWeights')],
    ['a soft prompt', tinyRecipe('softPrompt')],
    ['LoRA', tinyRecipe('lora')],
    ['a prefix made by a network', { ...tinyRecipe('prefix'), parts: [reparameterised] }],
    ['a hybrid', { ...tinyRecipe('lora'), parts: [prompt, ...tinyRecipe('lora').parts] }]
  ])('%s: the same losses, norms and tensors to the bit, and no tensor left', async (_, recipe) => {
    const wanted = await train(recipe, false)
    const before = alive()
    const got = await train(recipe, true)
    expect(got.records).toEqual(wanted.records)
    expect(got.tensors).toEqual(wanted.tensors)
    expect(alive()).toEqual(before)
  })

  test('takes less memory', async () => {
    // The last layer is nearly empty: there are more to spare.
    const deep = await raceDecoder(4)
    const memory = new MemoryMeter()
    const plain = await train(tinyRecipe('allWeights'), false, memory, deep)
    const checkpointed = await train(tinyRecipe('allWeights'), true, memory, deep)
    expect(checkpointed.peakBytes).toBeLessThan(0.9 * plain.peakBytes)
    deep.dispose()
  })
})
