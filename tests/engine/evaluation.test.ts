// Label scoring and forgetting against the same sums made token by token.
import * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { evaluate, NotFiniteError } from '../../src/engine/evaluation/evaluate'
import { natsPerToken, passagesPerBatch } from '../../src/engine/evaluation/forgetting'
import type { Adaptation } from '../../src/engine/methods/method'
import type { Decoder } from '../../src/engine/model/decoder'
import { createBatch } from '../../src/tasks/batches'
import { useBackend } from './backend'
import { alive, raceDecoder, tinyData, tinyPassages, tinyRecipe, tinyTask, tinyTokenizer } from './tinyRace'

describe('on wasm', () => {
  let decoder: Decoder
  let data: ReturnType<typeof tinyData>
  let prompt: tf.Tensor2D
  beforeAll(async () => {
    await useBackend('wasm')
    decoder = await raceDecoder()
    data = tinyData(decoder, [tinyRecipe('softPrompt')])
    prompt = tf.randomNormal([4, decoder.config.hiddenSize], 0, 0.5, 'float32', 3)
  })
  afterAll(() => {
    prompt.dispose()
    decoder.dispose()
  })

  /** Sum of log p of each token behind the first `given`, by one forward pass a token. */
  async function nats(ids: number[], given: number, adaptation: Adaptation): Promise<number> {
    let sum = 0
    for (let i = given; i < ids.length; i++) {
      const batch = createBatch([{ promptIds: ids.slice(0, i), answerIds: ids.slice(i, i + 1) }], decoder.config.padToken)
      const value = decoder.logProbabilities(batch, adaptation)
      sum -= (await value.data())[0]!
      value.dispose()
    }
    return sum
  }

  const promptOf = (text: string): number[] => [0, ...tinyTokenizer.encode(`${text}\nKind:`)]

  test.each(['base', 'soft prompt'])('scores are those of whole label words (%s)', async (which) => {
    const adaptation: Adaptation = which === 'base' ? {} : { virtualTokens: prompt }
    const { probabilities, loss, metrics } = await evaluate(decoder, data.validation, adaptation)
    const words = [' bright', ' rather dull'].map((word) => tinyTokenizer.encode(word))
    expect(words.map(({ length }) => length)).toEqual([1, 2])
    let lossSum = 0
    let tokens = 0
    for (const [i, { fields, label }] of tinyTask.validation.entries()) {
      const ids = promptOf(fields.text!)
      const scores = await Promise.all(words.map(async (word) => -(await nats([...ids, ...word], ids.length, adaptation))))
      const truth = label === 'bright' ? 0 : 1
      lossSum -= scores[truth]!
      tokens += words[truth]!.length
      expect(probabilities[i]![0]).toBeCloseTo(1 / (1 + Math.exp(scores[1]! - scores[0]!)), 5)
      expect(probabilities[i]![0]! + probabilities[i]![1]!).toBeCloseTo(1, 12)
    }
    expect(loss).toBeCloseTo(lossSum / tokens, 5)
    expect(metrics.examples).toBe(12)
  })

  test('forgetting is nats by real token, each predicted from those before it', async () => {
    for (const adaptation of [{}, { virtualTokens: prompt }]) {
      let sum = 0
      let tokens = 0
      for (const text of tinyPassages) {
        const ids = [0, ...tinyTokenizer.encode(text)]
        sum += await nats(ids, 1, adaptation)
        tokens += ids.length - 1
      }
      expect(await natsPerToken(decoder, data.general, adaptation)).toBeCloseTo(sum / tokens, 5)
    }
  })

  test('passages are put together only as far as their logits stay small', () => {
    expect(passagesPerBatch(8192, 64)).toBe(8)
    expect(passagesPerBatch(50257, 1024)).toBe(1)
  })

  test('waits between batches, and what that throws ends the evaluation without a tensor left over', async () => {
    let waits = 0
    await evaluate(decoder, data.test, {}, () => Promise.resolve(void waits++))
    expect(waits).toBe(data.test.batches.length)
    const before = alive()
    const cancel = (): Promise<void> => Promise.reject(new Error('cancelled'))
    await expect(evaluate(decoder, data.test, {}, cancel)).rejects.toThrow('cancelled')
    await expect(natsPerToken(decoder, data.general, {}, cancel)).rejects.toThrow('cancelled')
    expect(alive()).toEqual(before)
  })

  test('answers that are not finite are refused, never averaged', async () => {
    const broken = tf.fill([decoder.config.hiddenSize], Number.NaN)
    const adaptation: Adaptation = { weight: (name) => (name === 'model.norm.weight' ? broken : undefined) }
    await expect(evaluate(decoder, data.test, adaptation)).rejects.toThrow(NotFiniteError)
    await expect(natsPerToken(decoder, data.general, adaptation)).rejects.toThrow(NotFiniteError)
    broken.dispose()
  })
})
