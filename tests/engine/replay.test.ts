// Replayed steps against the same steps on the tape: losses, tensors, alternating shapes, restores, stages, and what they must not replay.
import * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, beforeEach, afterEach, expect, test } from 'vitest'
import { webGpuFault } from '../../src/engine/device/webgpu'
import { Replay } from '../../src/engine/kernels/webgpu/replay'
import { runner } from '../../src/engine/kernels/webgpu/run'
import type { Batch } from '../../src/engine/model/batch'
import type { Decoder } from '../../src/engine/model/decoder'
import type { RaceData } from '../../src/engine/training/data'
import type { Recipe } from '../../src/engine/training/recipe'
import { Trainer } from '../../src/engine/training/trainer'
import { useBackend } from './backend'
import { tinyDecoder, tinyGptNeo } from './tinyModel'
import { alive, raceDecoder, tinyData, tinyRecipe } from './tinyRace'

let decoder: Decoder
let data: RaceData
beforeAll(async () => {
  await useBackend('webgpu')
  decoder = await raceDecoder()
  data = tinyData(decoder, [tinyRecipe('softPrompt')])
})
afterAll(() => decoder.dispose())

let replays = 0
const play = Replay.prototype.play
beforeEach(() => {
  replays = 0
  Replay.prototype.play = function (arrays) {
    replays++
    return play.call(this, arrays)
  }
})
afterEach(() => {
  Replay.prototype.play = play
  expect(webGpuFault()).toBeUndefined()
})

const create = (recipe: Recipe, steps = 100, model = decoder): Promise<Trainer> =>
  Trainer.create({ decoder: model, recipe, budget: { kind: 'steps', steps }, encode: data.encode, labelWords: data.labelWords })

/** Batches of the tiny task, whose texts have two lengths: shapes alternate as they come. */
function batches(count: number): Batch[] {
  const sequence = data.trainingBatches(4, 3)
  return Array.from({ length: count }, () => sequence.next())
}

async function train(trainer: Trainer, some: readonly Batch[], onTape = false) {
  const run = runner()
  const records: { loss: number; gradientNorm: number }[] = []
  for (const batch of some) {
    // Nothing is recorded or replayed under an observer.
    run.observer = onTape ? { before: () => undefined, after: () => undefined } : undefined
    const record = await trainer.step(batch)
    if (record === 'diverged') throw new Error('diverged')
    records.push({ loss: record.loss, gradientNorm: record.gradientNorm })
  }
  run.observer = undefined
  return records
}

/** Takes steps until all programs are compiled: nothing is recorded before. */
async function settle(recipe: Recipe): Promise<void> {
  const trainer = await create(recipe, 10)
  await train(trainer, batches(9), true)
  trainer.dispose()
  await runner().settled
}

const prompt = tinyRecipe('softPrompt').parts[0]!
const weights = tinyRecipe('allWeights').parts[0]!
test.each<[string, Recipe, number]>([
  ['all weights', tinyRecipe('allWeights', { schedule: { kind: 'cosine', warmupSteps: 5 } }), 12],
  ['a soft prompt', tinyRecipe('softPrompt'), 12],
  ['LoRA', tinyRecipe('lora'), 12],
  ['a prefix', tinyRecipe('prefix'), 12],
  [
    'a hybrid with checkpointing',
    { ...tinyRecipe('lora', { gradientCheckpointing: true }), parts: [prompt, ...tinyRecipe('lora').parts] },
    12
  ],
  [
    'first the prompt, then the weights',
    {
      ...tinyRecipe('lora'),
      parts: [
        { ...prompt, window: { from: 0, to: 0.2 } },
        { ...weights, window: { from: 0.2, to: 1 } }
      ]
    },
    20
  ]
])('%s: replayed steps give the losses and tensors of the tape to the bit, with an evaluation between', async (_, recipe, least) => {
  const some = batches(40)
  expect(new Set(some.map(({ time, labelRows }) => `${time} ${labelRows.length}`)).size).toBeGreaterThan(1)
  const [taped, replayed] = [await create(recipe), await create(recipe)]
  await settle(recipe)
  const wanted = await train(taped, some, true)
  expect(replays).toBe(0)
  const got = [...(await train(replayed, some.slice(0, 25)))]
  tf.dispose(decoder.hiddenStates(some[0]!, replayed.adaptation()))
  got.push(...(await train(replayed, some.slice(25))))
  expect(got).toEqual(wanted)
  expect(await replayed.tensors('last')).toEqual(await taped.tensors('last'))
  expect(replays).toBeGreaterThanOrEqual(least)
  taped.dispose()
  replayed.dispose()
})

test.each(['allWeights', 'biases'])('%s of a model with learned positions, windows and biases', async (method) => {
  const model = await tinyDecoder({ ...tinyGptNeo, vocab_size: 100 }, 4)
  const recipe = tinyRecipe(method)
  const some = batches(20)
  const [taped, replayed] = [await create(recipe, 100, model), await create(recipe, 100, model)]
  const wanted = await train(taped, some, true)
  await runner().settled
  expect(await train(replayed, some)).toEqual(wanted)
  expect(await replayed.tensors('last')).toEqual(await taped.tensors('last'))
  expect(replays).toBeGreaterThan(5)
  taped.dispose()
  replayed.dispose()
  model.dispose()
})

test('a restored trainer forgets what was recorded, and goes on with the same losses', async () => {
  const recipe = tinyRecipe('allWeights')
  const some = batches(40)
  await settle(recipe)
  const straight = await create(recipe)
  const whole = await train(straight, some)
  straight.dispose()
  const first = await create(recipe)
  await train(first, some.slice(0, 20))
  const stored = { state: first.state, tensors: await first.tensors('last') }
  // Astray, and back.
  await train(first, some.slice(30))
  first.restore(stored)
  expect(await train(first, some.slice(20))).toEqual(whole.slice(20))
  expect(replays).toBeGreaterThan(20)
  first.dispose()
})

test('fifty replayed steps leave no tensor and no byte over, and a disposed trainer none of its own', async () => {
  const start = { ...alive(), buffers: tf.memory().numDataBuffers }
  const bytesInGpu = (): number => (tf.memory() as unknown as { numBytesInGPU: number }).numBytesInGPU
  await settle(tinyRecipe('allWeights'))
  const trainer = await create(tinyRecipe('allWeights'))
  const some = batches(70)
  await train(trainer, some.slice(0, 20))
  const before = { ...alive(), gpu: bytesInGpu() }
  const seen = replays
  await train(trainer, some.slice(20))
  expect(replays - seen).toBe(50)
  expect({ ...alive(), gpu: bytesInGpu() }).toEqual(before)
  trainer.dispose()
  expect({ ...alive(), buffers: tf.memory().numDataBuffers }).toEqual(start)
})

test('a loss that is not finite is told, and changes nothing', async () => {
  await settle(tinyRecipe('allWeights'))
  const trainer = await create(tinyRecipe('allWeights'))
  const some = batches(30)
  await train(trainer, some.slice(0, 25))
  const before = await trainer.tensors('last')
  const broken = { ...some[25]!, labelWeights: some[25]!.labelWeights.map(() => NaN) }
  const seen = replays
  expect(await trainer.step(broken)).toBe('diverged')
  expect(replays - seen).toBe(1)
  expect(await trainer.tensors('last')).toEqual(before)
  await train(trainer, some.slice(26))
  trainer.dispose()
})

test('steps that draw numbers anew stay on the tape', async () => {
  const lora = tinyRecipe('lora').parts[0]!
  const trainer = await create({ ...tinyRecipe('lora'), parts: [{ ...lora, options: { ...lora.options, dropout: 0.2 } }] })
  await train(trainer, batches(15))
  expect(replays).toBe(0)
  trainer.dispose()
})
