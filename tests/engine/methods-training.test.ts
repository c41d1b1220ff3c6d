// Every method as the trainer runs it: what it leaves alone, where it starts from, its gradients alone and beside others, and leaks.
import * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { adaptationOf } from '../../src/engine/methods/combine'
import type { NamedTensors, OptionValues } from '../../src/engine/methods/method'
import { positionsTaken } from '../../src/engine/methods/positions'
import { getMethod, methods, optionsOf } from '../../src/engine/methods/registry'
import { trainableParameters } from '../../src/engine/methods/trained'
import type { Batch } from '../../src/engine/model/batch'
import type { Decoder } from '../../src/engine/model/decoder'
import { generate } from '../../src/engine/model/generate'
import { GREEDY } from '../../src/engine/model/sampling'
import { Random } from '../../src/engine/random'
import type { StoredTensors } from '../../src/engine/training/checkpoint'
import type { RaceData } from '../../src/engine/training/data'
import type { Recipe, RecipePart } from '../../src/engine/training/recipe'
import { Trainer } from '../../src/engine/training/trainer'
import { backends, useBackend } from './backend'
import { alive, raceDecoder, tinyData, tinyRecipe, weightValues } from './tinyRace'

const partOf = (method: string, options: OptionValues = {}): RecipePart => ({
  method,
  options: optionsOf(getMethod(method), options),
  learningRate: method === 'allWeights' || method === 'lastLayers' || method === 'pTuning' ? 0.01 : 0.05,
  weightDecay: 0
})

const reparameterised = partOf('prefix', { virtualTokens: 4, reparameterise: true })
const parts: Record<string, RecipePart> = Object.fromEntries([
  ...Object.values(methods)
    .filter(({ trains, id }) => trains && id !== 'allWeights')
    .map(({ id, options }) => [id, partOf(id, 'virtualTokens' in options ? { virtualTokens: 4 } : {})] as const),
  ['prefix through a network', reparameterised] as const
])
const recipeOf = (...of: RecipePart[]): Recipe => ({ ...tinyRecipe('softPrompt'), parts: of })
/** Methods that begin as the base itself. */
const STARTS_AS_BASE = ['lora', 'ia3', 'biases', 'lastLayers']
const HYBRIDS: [string, string][] = [
  ['softPrompt', 'lora'],
  ['prefix', 'ia3'],
  ['pTuning', 'lastLayers'],
  ['lora', 'ia3'],
  ['prefix through a network', 'biases'],
  ['softPrompt', 'prefix']
]

describe.each(backends)('%s', (backend) => {
  let decoder: Decoder
  let data: RaceData
  let batch: Batch
  beforeAll(async () => {
    await useBackend(backend)
    decoder = await raceDecoder()
    data = tinyData(decoder, [recipeOf(parts.softPrompt!)])
    batch = data.trainingBatches(4, 1).next()
  })
  afterAll(() => decoder.dispose())

  const create = (recipe: Recipe): Promise<Trainer> =>
    Trainer.create({ decoder, recipe, budget: { kind: 'steps', steps: 50 }, encode: data.encode, labelWords: data.labelWords })

  /** The recipe's first tensors, all moved a little, so that no gradient is zero by construction. */
  async function movedTensors(recipe: Recipe): Promise<StoredTensors> {
    const trainer = await create(recipe)
    const tensors = await trainer.tensors('best')
    trainer.dispose()
    const random = new Random(3)
    for (const { data: values } of Object.values(tensors)) values.forEach((value, i) => (values[i] = value + 0.05 * random.normal()))
    return tensors
  }

  /** Gradients of the loss by the tensors of these names; the others stand still. */
  async function gradients(recipeParts: RecipePart[], tensors: StoredTensors, names: string[]): Promise<Record<string, Float32Array>> {
    const computed = tf.tidy(() => {
      const fixed: NamedTensors = Object.fromEntries(
        Object.entries(tensors).map(([name, { shape, data: values }]) => [name, tf.tensor(values, shape)])
      )
      const loss = (...trained: tf.Tensor[]): tf.Scalar => {
        const parameters = { ...fixed, ...Object.fromEntries(names.map((name, i) => [name, trained[i]!])) }
        return decoder.loss(batch, adaptationOf(recipeParts, parameters, decoder.config))
      }
      return tf.grads(loss)(names.map((name) => fixed[name]!))
    })
    const values = await Promise.all(computed.map(async (gradient) => (await gradient.data()).slice() as Float32Array))
    tf.dispose(computed)
    return Object.fromEntries(names.map((name, i) => [name, values[i]!]))
  }

  async function lossAt(recipeParts: RecipePart[], tensors: StoredTensors): Promise<number> {
    const loss = tf.tidy(() => {
      const parameters = Object.fromEntries(
        Object.entries(tensors).map(([name, { shape, data: values }]) => [name, tf.tensor(values, shape)])
      )
      return decoder.loss(batch, adaptationOf(recipeParts, parameters, decoder.config))
    })
    const [value] = await loss.data()
    loss.dispose()
    return value!
  }

  function expectClose(actual: Float32Array, expected: Float32Array, name: string): void {
    const size = Math.max(...expected.map(Math.abs))
    expect(size, name).toBeGreaterThan(1e-6)
    actual.forEach((value, i) => expect(Math.abs(value - expected[i]!) / size, `${name} ${i}`).toBeLessThan(1e-4))
  }

  test.each(Object.entries(parts))(
    '%s lowers the loss, leaves the base as it was, to the bit, and no tensor or byte over',
    async (_, part) => {
      const base = await weightValues(decoder)
      const trainer = await create(recipeOf(part))
      expect(trainer.trainableParameters).toBe(trainableParameters([part], { ...decoder, labels: data.labels.length }))
      const losses: number[] = []
      const step = async (): Promise<void> => {
        const record = await trainer.step(batch)
        losses.push(record === 'diverged' ? Number.NaN : record.loss)
      }
      await step()
      await step()
      const before = alive()
      for (let i = 0; i < 8; i++) await step()
      expect(alive()).toEqual(before)
      expect(losses.at(-1)).toBeLessThan(losses[0]! - 0.1)
      expect(await weightValues(decoder)).toEqual(base)
      trainer.dispose()
    }
  )

  test.each(STARTS_AS_BASE)('%s starts from the answers of the base', async (method) => {
    const trainer = await create(recipeOf(parts[method]!))
    const tensors = await trainer.tensors('best')
    trainer.dispose()
    const base = decoder.loss(batch)
    expect(await lossAt([parts[method]!], tensors)).toBeCloseTo((await base.data())[0]!, 5)
    base.dispose()
  })

  test.each(Object.entries(parts))('the gradient of %s is the slope of the loss', async (_, part) => {
    const tensors = await movedTensors(recipeOf(part))
    const names = Object.keys(tensors)
    const slopes = await gradients([part], tensors, names)
    const norm = Math.hypot(...names.map((name) => Math.hypot(...slopes[name]!)))
    // Along the gradient, where the difference is largest against rounding.
    const moved = (by: number): StoredTensors =>
      Object.fromEntries(
        names.map((name) => [
          name,
          { shape: tensors[name]!.shape, data: tensors[name]!.data.map((value, i) => value + (by * slopes[name]![i]!) / norm) }
        ])
      )
    const reach = 5e-3
    const slope = ((await lossAt([part], moved(reach))) - (await lossAt([part], moved(-reach)))) / (2 * reach)
    expect(Math.abs(slope - norm) / norm).toBeLessThan(0.01)
  })

  test.each(HYBRIDS)('%s and %s: the gradient of each is that of the part alone at the same point', async (first, second) => {
    const both = [parts[first]!, parts[second]!]
    const tensors = await movedTensors(recipeOf(...both))
    const together = await gradients(both, tensors, Object.keys(tensors))
    for (const part of both) {
      const names = Object.keys(await movedTensors(recipeOf(part)))
      const alone = await gradients(both, tensors, names)
      for (const name of names) expectClose(together[name]!, alone[name]!, name)
    }
  })

  test.each(STARTS_AS_BASE)('beside %s that has not moved yet, a soft prompt has the gradient that it has without', async (method) => {
    const prompt = parts.softPrompt!
    const trainer = await create(recipeOf(prompt, parts[method]!))
    const tensors = await trainer.tensors('best')
    trainer.dispose()
    const beside = await gradients([prompt, parts[method]!], tensors, ['virtualTokens'])
    const alone = await gradients([prompt], { virtualTokens: tensors.virtualTokens! }, ['virtualTokens'])
    expectClose(beside.virtualTokens!, alone.virtualTokens!, 'virtualTokens')
  })

  test('biases and last layers share tensors and are refused together where they do', async () => {
    await expect(create(recipeOf(parts.biases!, parts.lastLayers!))).rejects.toThrow('Two parts of the recipe train')
  })

  test.each(['pTuning', 'prefix through a network'])('generation behind %s leaves nothing over', async (name) => {
    const part = parts[name]!
    const trainer = await create(recipeOf(part))
    const continuation = async (): Promise<number[]> => {
      const options = { ...GREEDY, maximumTokens: 4, random: new Random(1), adaptation: trainer.adaptation() }
      const tokens: number[] = []
      for await (const token of generate(decoder, [5, 6, 7], options)) tokens.push(token)
      return tokens
    }
    // The first time makes the table of positions, which stays.
    await continuation()
    const before = alive()
    expect(positionsTaken(trainer.adaptation())).toEqual(
      name === 'pTuning' ? { virtualTokens: 4, prefix: 0 } : { virtualTokens: 0, prefix: 4 }
    )
    expect(await continuation()).toHaveLength(4)
    expect(alive()).toEqual(before)
    trainer.dispose()
  })
})
