// Attention of the label position and the trajectory of virtual tokens, on tiny models.
import * as tf from '@tensorflow/tfjs'
import { beforeAll, expect, test } from 'vitest'
import { attentionPaid, meanWeights } from '../../src/engine/meaning/attentionPaid'
import { snapshotsOf } from '../../src/engine/meaning/trajectory'
import { readVirtualTokens } from '../../src/engine/meaning/virtualTokens'
import type { Checkpoint } from '../../src/engine/training/checkpoint'
import { Race } from '../../src/engine/training/race'
import { createBatch } from '../../src/tasks/batches'
import { useBackend } from './backend'
import { tinyDecoder, tinyGptNeo, tinyLlama } from './tinyModel'
import { alive, raceDecoder, tinyData, tinyRecipe } from './tinyRace'

beforeAll(() => useBackend('wasm'))

test('the weights are the softmax of the last real query, worked out by hand', async () => {
  // One head of size 1: scores are 2 * query * key. Row 0 has two real tokens of three, row 1 three; a prefix of one key stands in front.
  const weights = meanWeights({
    query: tf.tensor2d([9, 1, 9, 9, 9, 0.5], [6, 1]),
    key: tf.tensor2d([0.5, 1, 7, 1, 2, 3], [6, 1]),
    value: tf.zeros([6, 1]),
    prefix: { key: tf.tensor2d([0.25], [1, 1]), value: tf.zeros([1, 1]) },
    lengths: Int32Array.of(2, 3),
    batch: 2,
    queryTime: 3,
    keyTime: 3,
    heads: 1,
    keyValueHeads: 1,
    headSize: 1,
    scale: 2
  })
  const softmax = (scores: number[]): number[] => {
    const powers = scores.map(Math.exp)
    return powers.map((power) => power / powers.reduce((a, b) => a + b))
  }
  const expected = [...softmax([0.5, 1, 2]), 0, ...softmax([0.25, 1, 2, 3])]
  ;[...(await weights.data())].forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 6))
})

test.each([
  ['llama', tinyLlama],
  ['gpt_neo, whose second layer sees five tokens back', tinyGptNeo]
])('rows sum to 1 with the part of the text and of a prefix, and nothing is left allocated (%s)', async (_, config) => {
  const decoder = await tinyDecoder(config)
  const { hiddenSize, layers, keyValueHeads, headSize } = decoder.config
  const prompt = tf.randomNormal<tf.Rank.R2>([3, hiddenSize], 0, 0.5, 'float32', 2)
  const front = tf.randomNormal<tf.Rank.R2>([2, keyValueHeads * headSize], 0, 0.5, 'float32', 4)
  const rows = [9, 14, 6].map((length) => ({ promptIds: Array.from({ length }, (_, i) => 3 + i), answerIds: [5] }))
  const batch = createBatch(rows, 1)
  // The first pass makes the angles that the decoder keeps.
  await attentionPaid(decoder, batch, {})
  const before = alive()
  const adaptation = { virtualTokens: prompt, keyValues: () => ({ key: front, value: front }) }
  const paid = await attentionPaid(decoder, batch, adaptation)
  expect(alive()).toEqual(before)
  expect(paid.virtualTokens).toHaveLength(layers)
  for (let layer = 0; layer < layers; layer++) {
    const virtual = paid.virtualTokens[layer]!
    expect(virtual).toHaveLength(3)
    expect(virtual.reduce((sum, share) => sum + share, 0) + paid.text[layer]! + paid.prefix[layer]!).toBeCloseTo(1, 5)
  }
  expect(paid.prefix[0]).toBeGreaterThan(0)
  const isLocal = decoder.config.attentionWindows[1] !== undefined
  // The shortest row has six tokens: a window of five never reaches what stands in front of them.
  if (isLocal) expect(paid.text[1]).toBeCloseTo(1, 6)
  else expect(paid.virtualTokens[1]![0]).toBeGreaterThan(0)
  expect((await attentionPaid(decoder, batch, {})).text.every((share) => Math.abs(share - 1) < 1e-5)).toBe(true)
  decoder.dispose()
  tf.dispose([prompt, front])
})

test('a race keeps the virtual tokens of every validation in the last checkpoint, also of a hybrid and of an encoder', async () => {
  const decoder = await raceDecoder()
  const soft = tinyRecipe('softPrompt')
  const encoder = tinyRecipe('pTuning', { learningRate: 0.01 })
  encoder.parts[0]!.options = { virtualTokens: 2, width: 8 }
  const hybrid = { ...soft, parts: [...soft.parts, ...tinyRecipe('lora', { learningRate: 0.01 }).parts] }
  const recipes = [soft, encoder, hybrid, tinyRecipe('lora', { learningRate: 0.01 })]
  const last = new Map<string, Checkpoint>()
  const race = await Race.create({
    decoder,
    data: tinyData(decoder, recipes),
    runs: recipes.map((recipe, i) => ({ id: `run ${i}`, name: `Run ${i}`, recipe })),
    settings: { budget: { kind: 'steps', steps: 4 }, evaluateEvery: 2, patience: 0 },
    listener: () => undefined,
    onCheckpoint: async (run, kind, take) => {
      const checkpoint = await take()
      if (kind === 'last') last.set(run, checkpoint)
    }
  })
  await race.run()
  race.dispose()
  const moves = (run: string) => snapshotsOf(last.get(run)!.tensors)
  expect(moves('run 0').map(({ step, shape }) => [step, ...shape])).toEqual([
    [0, 4, 20],
    [2, 4, 20],
    [4, 4, 20]
  ])
  expect(moves('run 0').at(-1)!.data).toEqual(last.get('run 0')!.tensors.virtualTokens!.data)
  expect(moves('run 0')[0]!.data).not.toEqual(moves('run 0')[1]!.data)
  expect(moves('run 1').map(({ shape }) => shape)).toEqual([
    [2, 20],
    [2, 20],
    [2, 20]
  ])
  expect(moves('run 2')).toHaveLength(3)
  expect(moves('run 3')).toEqual([])
  decoder.dispose()
})

test('virtual tokens are read as they are, and none are none', async () => {
  const prompt = tf.tensor2d([1, 2, 3, 4], [2, 2])
  const before = alive()
  expect(await readVirtualTokens(() => ({ virtualTokens: prompt }))).toEqual({ shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) })
  expect(await readVirtualTokens(() => ({}))).toBeUndefined()
  expect(alive()).toEqual(before)
  prompt.dispose()
})
