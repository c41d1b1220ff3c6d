// Prompts that are asked together: each answers as it does alone, and how their answers are joined.
import * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ensembleLayout, evaluateEnsemble, meanProbabilities, voted } from '../../src/engine/evaluation/ensemble'
import { evaluate, type Evaluation, type Split } from '../../src/engine/evaluation/evaluate'
import type { Decoder } from '../../src/engine/model/decoder'
import { Random } from '../../src/engine/random'
import { backends, useBackend } from './backend'
import { alive, raceDecoder, tinyData, tinyRecipe } from './tinyRace'
import { tinyDecoder, tinyGptNeo } from './tinyModel'

const random = new Random(9)
const promptOf = (length: number, width: number): tf.Tensor2D =>
  tf.tensor2d(
    Float32Array.from({ length: length * width }, () => 0.5 * random.normal()),
    [length, width]
  )

describe.each(backends)('%s', (backend) => {
  const decoders: Record<string, Decoder> = {}
  beforeAll(async () => {
    await useBackend(backend)
    decoders.rotary = await raceDecoder()
    // Learned positions, and windows of attention.
    decoders.learned = await tinyDecoder({ ...tinyGptNeo, vocab_size: 100, bos_token_id: 0, pad_token_id: 1 }, 5)
  })
  afterAll(() => Object.values(decoders).forEach((decoder) => decoder.dispose()))

  test.each(['rotary', 'learned'])('with %s positions prompts of different lengths answer together as they do alone', async (name) => {
    const decoder = decoders[name]!
    const split = tinyData(decoder, [tinyRecipe('softPrompt', { maximumLength: 40 })]).validation as Split
    const prompts = [4, 1, 9].map((length) => promptOf(length, decoder.config.hiddenSize))
    const now = (): Promise<void> => Promise.resolve()
    const alone: Evaluation[] = []
    for (const virtualTokens of prompts) alone.push(await evaluate(decoder, split, { virtualTokens }, now))
    await evaluateEnsemble(decoder, split, prompts, now)
    const before = alive()
    const together = await evaluateEnsemble(decoder, split, prompts, now)
    expect(alive()).toEqual(before)
    together.members.forEach(({ confusion, accuracy, logLoss }, member) => {
      const { metrics } = alone[member]!
      expect(confusion).toEqual(metrics.confusion)
      expect(accuracy).toBe(metrics.accuracy)
      expect(logLoss / metrics.logLoss).toBeCloseTo(1, 5)
    })
    const probabilities = alone.map((evaluation) => evaluation.probabilities)
    const mean = meanProbabilities(probabilities)
    const right = mean.filter((row, i) => row.indexOf(Math.max(...row)) === split.labels[i]).length
    expect(together.mean.accuracy).toBeCloseTo(right / split.labels.length, 9)
    tf.dispose(prompts)
  })

  test('one prompt and six are refused', async () => {
    const decoder = decoders.rotary!
    const split = tinyData(decoder, [tinyRecipe('softPrompt')]).validation as Split
    const prompt = promptOf(2, decoder.config.hiddenSize)
    await expect(evaluateEnsemble(decoder, split, [prompt])).rejects.toThrow('An ensemble of 1 prompts')
    await expect(evaluateEnsemble(decoder, split, Array<tf.Tensor2D>(6).fill(prompt))).rejects.toThrow('An ensemble of 6 prompts')
    prompt.dispose()
  })
})

test('votes count, and the mean probability decides between as many', () => {
  const members = [[[0.9, 0.1, 0]], [[0.2, 0.8, 0]], [[0.3, 0.7, 0]]]
  expect(meanProbabilities(members)[0]!.map((p) => +p.toFixed(6))).toEqual([0.466667, 0.533333, 0])
  const [row] = voted(members)
  expect(row!.map((p) => +p.toFixed(3))).toEqual([0.333, 0.667, 0])
  // One vote each, for labels 0 and 1: the surer one wins.
  const [tied] = voted([[[0.6, 0.4]], [[0.1, 0.9]]])
  expect(tied![1]).toBeGreaterThan(tied![0]!)
  expect(tied![0]! + tied![1]!).toBeCloseTo(1, 12)
})

test('rows are texts times prompts, each text right behind its prompt', () => {
  const batch = {
    size: 2,
    time: 16,
    inputIds: new Int32Array(32),
    lengths: Int32Array.of(3, 2),
    labelRows: Int32Array.of(2, 17),
    labelIds: Int32Array.of(5, 6),
    labelWeights: new Float32Array(2)
  }
  const { time, sources, lengths, labelRows } = ensembleLayout(batch, [1, 2])
  expect(time).toBe(32)
  expect([...lengths]).toEqual([4, 3, 5, 4])
  expect([...labelRows]).toEqual([3, 32 + 2, 64 + 4, 96 + 3])
  // Three virtual tokens stand in front of the texts' embeddings: 0 is the first prompt, 1 and 2 the second.
  expect([...sources.slice(0, 4)]).toEqual([0, 3, 4, 5])
  expect([...sources.slice(96, 100)]).toEqual([1, 2, 19, 20])
})
