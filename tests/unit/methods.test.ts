// The method registry: options, first tensors, parameter counts, and how several methods combine.
import * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { adaptationOf, combineAdaptations } from '../../src/engine/methods/combine'
import type { MethodContext, OptionValues } from '../../src/engine/methods/method'
import { getMethod, methods, optionsOf } from '../../src/engine/methods/registry'
import { trainableParameters } from '../../src/engine/methods/trained'
import { readArchitecture } from '../../src/engine/model/architectures'
import { Random } from '../../src/engine/random'
import { defaultRecipe } from '../../src/engine/training/defaultRecipe'

const VOCABULARY = 40
const HIDDEN = 8
const base = readArchitecture({
  model_type: 'llama',
  vocab_size: VOCABULARY,
  hidden_size: HIDDEN,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  intermediate_size: 12,
  max_position_embeddings: 64,
  tie_word_embeddings: true,
  bos_token_id: 0,
  eos_token_id: 0,
  pad_token_id: 1
})
const { config } = base
const rowsOf = (values: ArrayLike<number>, row: number) => Array.from({ length: HIDDEN }, (_, j) => values[row * HIDDEN + j]!)

let embeddings: tf.Tensor2D
let norm: tf.Tensor1D
const table = new Float32Array(VOCABULARY * HIDDEN)

beforeAll(async () => {
  await tf.setBackend('cpu')
  const random = new Random(5)
  table.forEach((_, i) => (table[i] = 0.3 * random.normal()))
  embeddings = tf.tensor2d(table, [VOCABULARY, HIDDEN])
  norm = tf.ones([HIDDEN])
})
afterAll(() => tf.dispose([embeddings, norm]))

/** A context whose text "3 7" is the tokens 3 and 7. */
const context = (seed = 1, labelWords = ['3', '4 6']): MethodContext => ({
  ...base,
  copyOf: (name) => (name === 'embed' ? embeddings : norm).mul(1),
  weightNames: ['embed', 'norm'],
  embeddingsOf: async (ids) => (await tf.gather(embeddings, [...ids]).data()) as Float32Array,
  tensor: (values, shape) => tf.tensor(values, shape),
  encode: (text) => text.split(' ').filter(Boolean).map(Number),
  labelWords,
  saved: new Map([['task-a', { name: 'Task A', shape: [2, HIDDEN], data: Float32Array.from({ length: 2 * HIDDEN }, (_, i) => i) }]]),
  random: new Random(seed)
})

async function startOf(options: OptionValues, seed?: number, labelWords?: string[]): Promise<Float32Array> {
  const method = getMethod('softPrompt')
  const { virtualTokens } = await method.initialParameters(context(seed, labelWords), optionsOf(method, options))
  const values = (await virtualTokens!.data()) as Float32Array
  virtualTokens!.dispose()
  return values
}

const isRowOfTable = (values: number[]) =>
  Array.from({ length: VOCABULARY }, (_, id) => id).find((id) => rowsOf(table, id).every((value, j) => value === values[j]))

test('every row of the registry is complete, and its defaults meet its own ranges', () => {
  expect(Object.keys(methods)).toEqual([
    'handwrittenPrompt',
    'softPrompt',
    'lora',
    'allWeights',
    'prefix',
    'pTuning',
    'ia3',
    'biases',
    'lastLayers',
    'linearProbe'
  ])
  for (const [id, method] of Object.entries(methods)) {
    expect(method.id).toBe(id)
    expect(method.summary).toMatch(/\.$/)
    for (const option of Object.values(method.options)) expect(option.help).toMatch(/\.$/)
    expect(() => optionsOf(method)).not.toThrow()
    expect(method.defaults.learningRate > 0).toBe(method.trains)
  }
})

test('an unknown method is refused with the known ones', () => {
  expect(() => getMethod('softprompt')).toThrow('There is no tuning method "softprompt".')
  expect(() => getMethod('toString')).toThrow('no tuning method')
})

test.each<[OptionValues, string]>([
  [{ virtualTokens: 0 }, '"Virtual tokens" cannot be 0'],
  [{ virtualTokens: 101 }, 'cannot be 101'],
  [{ virtualTokens: 2.5 }, 'cannot be 2.5'],
  [{ virtualTokens: Number.NaN }, 'cannot be null'],
  [{ virtualTokens: '5' }, 'cannot be "5"'],
  [{ start: 'words' }, '"Start from" cannot be "words"'],
  [{ text: 3 }, '"Text" cannot be 3'],
  [{ tokens: 3 }, 'has no option "tokens"']
])('options %j are refused', (options, message) => {
  expect(() => optionsOf(getMethod('softPrompt'), options)).toThrow(message)
})

test('options that are not given are the defaults', () => {
  expect(optionsOf(getMethod('softPrompt'), { virtualTokens: 7 })).toMatchObject({ virtualTokens: 7, start: 'vocabulary' })
})

test('a random start has the standard deviation of the embeddings, and repeats by seed', async () => {
  const first = await startOf({ start: 'random', virtualTokens: 60 }, 3)
  expect(await startOf({ start: 'random', virtualTokens: 60 }, 3)).toEqual(first)
  expect(await startOf({ start: 'random', virtualTokens: 60 }, 4)).not.toEqual(first)
  const deviation = Math.sqrt(first.reduce((sum, value) => sum + value * value, 0) / first.length)
  expect(deviation).toBeGreaterThan(0.27)
  expect(deviation).toBeLessThan(0.33)
})

test('a vocabulary start is different ordinary tokens, special ones left out', async () => {
  const values = await startOf({ start: 'vocabulary', virtualTokens: 38 })
  const ids = Array.from({ length: 38 }, (_, row) => isRowOfTable(rowsOf(values, row)))
  expect([...ids].sort((a, b) => a! - b!)).toEqual(Array.from({ length: 38 }, (_, i) => i + 2))
})

test('a vocabulary start longer than the vocabulary draws again', async () => {
  const values = await startOf({ start: 'vocabulary', virtualTokens: 60 })
  expect(Array.from({ length: 60 }, (_, row) => isRowOfTable(rowsOf(values, row))).every((id) => id !== undefined && id > 1)).toBe(true)
})

test('a label start is the label words, several tokens as their mean, then vocabulary', async () => {
  const values = await startOf({ start: 'labels', virtualTokens: 4 })
  expect(rowsOf(values, 0)).toEqual(rowsOf(table, 3))
  rowsOf(values, 1).forEach((value, j) => expect(value).toBeCloseTo((table[4 * HIDDEN + j]! + table[6 * HIDDEN + j]!) / 2, 6))
  expect(isRowOfTable(rowsOf(values, 2))).toBeGreaterThan(1)
  expect(rowsOf(await startOf({ start: 'labels', virtualTokens: 1 }), 0)).toEqual(rowsOf(table, 3))
})

test('a text start repeats or cuts the text, and refuses an empty one', async () => {
  const repeated = await startOf({ start: 'text', text: '5 9', virtualTokens: 3 })
  expect([0, 1, 2].map((row) => isRowOfTable(rowsOf(repeated, row)))).toEqual([5, 9, 5])
  expect(await startOf({ start: 'text', text: '5 9', virtualTokens: 1 })).toEqual(table.slice(5 * HIDDEN, 6 * HIDDEN))
  await expect(startOf({ start: 'text', text: ' ' })).rejects.toThrow('start text of the soft prompt is empty')
})

test('a saved start repeats or cuts the rows of the saved prompt, and refuses one that is not there or does not fit', async () => {
  const start = { start: 'saved', savedRun: 'task-a' }
  const repeated = await startOf({ ...start, virtualTokens: 3 })
  expect([...repeated]).toEqual([...Array(16).keys(), ...Array(8).keys()])
  expect([...(await startOf({ ...start, virtualTokens: 1 }))]).toEqual([...Array(8).keys()])
  await expect(startOf({ start: 'saved', savedRun: 'other' })).rejects.toThrow('saved prompt to start from is not there')
  const narrow = { ...context(), saved: new Map([['n', { name: 'Narrow', shape: [1, 4] as [number, number], data: new Float32Array(4) }]]) }
  const method = getMethod('softPrompt')
  await expect(method.initialParameters(narrow, optionsOf(method, { start: 'saved', savedRun: 'n' }))).rejects.toThrow(
    'has vectors of 4 numbers, and this model reads vectors of 8'
  )
})

test('more virtual tokens than positions are refused', async () => {
  await expect(startOf({ virtualTokens: 64 })).rejects.toThrow('64 virtual tokens leave no room')
})

test('all weights are copies with a buffer of their own', async () => {
  const method = getMethod('allWeights')
  const parameters = await method.initialParameters(context(), {})
  expect(Object.keys(parameters)).toEqual(['embed', 'norm'])
  expect(parameters.embed!.dataId).not.toBe(embeddings.dataId)
  expect(await parameters.embed!.data()).toEqual(await embeddings.data())
  expect(method.adaptation(parameters, config, {}).weight?.('norm')).toBe(parameters.norm)
  tf.dispose(parameters)
})

test('trained parameters are known before anything starts', () => {
  const count = (method: string, options: OptionValues = {}) => trainableParameters([{ method, options }], { ...base, labels: 2 })
  expect(count('handwrittenPrompt')).toBe(0)
  expect(count('softPrompt', { virtualTokens: 5 })).toBe(40)
  // A layer is 2 norms of 8, query and output of 8 x 8, key and value of 8 x 4, and 3 of 8 x 12.
  expect(count('allWeights')).toBe(320 + 2 * (16 + 2 * 64 + 2 * 32 + 3 * 96) + 8)
})

test('a default recipe takes rate and decay from the registry', () => {
  const recipe = defaultRecipe('allWeights', 3)
  expect(recipe.parts).toEqual([{ method: 'allWeights', options: {}, learningRate: 1e-3, weightDecay: 0.01 }])
  expect(recipe).toMatchObject({
    seed: 3,
    batchSize: 16,
    schedule: { kind: 'linear', warmupSteps: 10 },
    optimiser: { clipNorm: 1, epsilon: 1e-8 }
  })
})

test('combined adaptations: prompts one after another, hooks chained, first weight wins, absent hooks stay absent', async () => {
  const one = tf.ones<tf.Rank.R2>([2, HIDDEN])
  const two = tf.zeros<tf.Rank.R2>([1, HIDDEN])
  const combined = combineAdaptations([
    { virtualTokens: one, linear: (_path, _x, y) => tf.mul(y, 2), weight: (name) => (name === 'norm' ? norm : undefined) },
    { virtualTokens: two, linear: (path, _x, y) => (path === 'q' ? tf.add(y, 1) : y), weight: () => embeddings }
  ])
  expect(await combined.virtualTokens!.array()).toEqual([...(await one.array()), ...(await two.array())])
  expect(await combined.linear!('q', two, one).array()).toEqual(Array.from({ length: 2 }, () => Array<number>(HIDDEN).fill(3)))
  expect(await combined.linear!('v', two, one).array()).toEqual(Array.from({ length: 2 }, () => Array<number>(HIDDEN).fill(2)))
  const lowRank = () => undefined
  expect(Object.keys(combineAdaptations([{ lowRank }, { virtualTokens: one }]))).toEqual(['virtualTokens', 'lowRank'])
  expect(combined.weight!('norm')).toBe(norm)
  expect(combined.weight!('embed')).toBe(embeddings)
  expect(combined.keyValues).toBeUndefined()
  expect(combined.linearInput).toBeUndefined()
  expect(combineAdaptations([])).toEqual({})
})

test('a recipe of several parts is one adaptation', () => {
  const prompt = tf.ones<tf.Rank.R2>([2, HIDDEN])
  const part = (method: string) => ({ method, options: {}, learningRate: 1, weightDecay: 0 })
  const adaptation = adaptationOf([part('softPrompt'), part('allWeights')], { virtualTokens: prompt, norm }, config)
  expect(adaptation.virtualTokens).toBe(prompt)
  expect(adaptation.weight?.('norm')).toBe(norm)
  expect(adaptation.weight?.('embed')).toBeUndefined()
})
