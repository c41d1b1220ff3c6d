// Generation with its cache against the whole text computed anew, and how it ends.
import * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Adaptation } from '../../src/engine/methods/method'
import type { Decoder } from '../../src/engine/model/decoder'
import { generate, generateGreedily, type GenerateOptions } from '../../src/engine/model/generate'
import { GREEDY } from '../../src/engine/model/sampling'
import { Random } from '../../src/engine/random'
import { backends, useBackend } from './backend'
import { tinyDecoder, tinyGptNeo, tinyLlama } from './tinyModel'

const PROMPT = [5, 6, 7, 8]

async function collect(decoder: Decoder, options: Partial<GenerateOptions>, prompt = PROMPT): Promise<number[]> {
  const tokens: number[] = []
  for await (const token of generate(decoder, prompt, { ...GREEDY, maximumTokens: 10, random: new Random(1), ...options }))
    tokens.push(token)
  return tokens
}

/** The most probable token behind the prompt and behind each further token, all from one pass without a cache. */
async function predictions(decoder: Decoder, adaptation: Adaptation, tokens: number[]): Promise<number[]> {
  const text = [...PROMPT, ...tokens]
  const labelRows = Int32Array.from(tokens, (_, i) => PROMPT.length - 1 + i)
  const best = tf.tidy(() => {
    const batch = {
      size: 1,
      time: text.length,
      inputIds: Int32Array.from(text),
      lengths: Int32Array.of(text.length),
      labelRows,
      labelIds: Int32Array.from(tokens),
      labelWeights: new Float32Array(tokens.length)
    }
    return tf.argMax(decoder.logits(decoder.hiddenStates(batch, adaptation), adaptation), 1)
  })
  const ids = Array.from(await best.data())
  best.dispose()
  return ids
}

describe.each(backends)('%s', (backend) => {
  beforeAll(() => useBackend(backend))

  // 20 tokens from 4 go over the first bucket of 16, and over the window of 5 in every second layer of GPT-Neo.
  test.each([tinyLlama, tinyGptNeo])(
    '$model_type: cached and recomputed tokens agree, behind virtual tokens and a prefix too',
    async (config) => {
      const decoder = await tinyDecoder(config)
      const width = decoder.config.keyValueHeads * decoder.config.headSize
      const virtualTokens = tf.randomNormal([3, 20], 0, 1, 'float32', 4) as tf.Tensor2D
      const prefix = {
        key: tf.randomNormal([2, width], 0, 1, 'float32', 5) as tf.Tensor2D,
        value: tf.randomNormal([2, width], 0, 1, 'float32', 6) as tf.Tensor2D
      }
      const continuations: number[][] = []
      for (const adaptation of [{}, { virtualTokens }, { keyValues: () => prefix }]) {
        const tokens = await collect(decoder, { adaptation, maximumTokens: 20 })
        expect(tokens).toEqual(await predictions(decoder, adaptation, tokens))
        expect(tokens).toHaveLength(20)
        continuations.push(tokens)
      }
      expect(new Set(continuations.map((tokens) => tokens.join())).size).toBe(3)
      tf.dispose([virtualTokens, prefix.key, prefix.value])
      decoder.dispose()
    }
  )

  // Prompts over and under a bucket, and texts that end at different times.
  test.each([tinyLlama, tinyGptNeo])('$model_type: texts of a batch are those that each gives alone', async (config) => {
    const decoder = await tinyDecoder(config, 3)
    const width = decoder.config.keyValueHeads * decoder.config.headSize
    const virtualTokens = tf.randomNormal([3, 20], 0, 1, 'float32', 4) as tf.Tensor2D
    const prefix = {
      key: tf.randomNormal([2, width], 0, 1, 'float32', 5) as tf.Tensor2D,
      value: tf.randomNormal([2, width], 0, 1, 'float32', 6) as tf.Tensor2D
    }
    const prompts = [PROMPT, [9], Array.from({ length: 19 }, (_, i) => (7 * i) % 50), Array.from({ length: 58 }, (_, i) => (11 * i) % 50)]
    const before = tf.memory().numTensors
    for (const adaptation of [{}, { virtualTokens }, { keyValues: () => prefix }]) {
      const free = await collect(decoder, { adaptation, maximumTokens: 14 }, prompts[2])
      const stopTokens = [free[5]!]
      const alone: number[][] = []
      for (const prompt of prompts) alone.push(await collect(decoder, { adaptation, maximumTokens: 14, stopTokens }, prompt))
      expect(await generateGreedily(decoder, prompts, { maximumTokens: 14, stopTokens, adaptation })).toEqual(alone)
      expect(new Set(alone.map(({ length }) => length)).size).toBeGreaterThan(1)
    }
    const cancel = (): Promise<void> => Promise.reject(new Error('cancelled'))
    await expect(generateGreedily(decoder, prompts, { maximumTokens: 3, between: cancel })).rejects.toThrow('cancelled')
    // The rotary table may have grown, in place.
    expect(tf.memory().numTensors).toBe(before + (config.model_type === 'llama' ? 2 : 0))
    tf.dispose([virtualTokens, prefix.key, prefix.value])
    decoder.dispose()
  })

  describe('endings', () => {
    let decoder: Decoder
    beforeAll(async () => {
      decoder = await tinyDecoder(tinyLlama)
    })
    afterAll(() => decoder.dispose())

    test('before a stop token, which is not given out', async () => {
      const tokens = await collect(decoder, { temperature: 1, random: new Random(5) })
      const stop = tokens[6]!
      expect(await collect(decoder, { temperature: 1, random: new Random(5), stopTokens: [stop] })).toEqual(
        tokens.slice(0, tokens.indexOf(stop))
      )
    })

    test('at the last position of the model', async () => {
      const prompt = Array.from({ length: 60 }, (_, i) => i % 50)
      expect(await collect(decoder, { maximumTokens: 100 }, prompt)).toHaveLength(5)
    })

    test('on abort and on a consumer that stops, without a leak', async () => {
      await collect(decoder, {})
      const { numTensors, numBytes } = tf.memory()
      const abort = new AbortController()
      const tokens: number[] = []
      for await (const token of generate(decoder, PROMPT, { ...GREEDY, maximumTokens: 10, random: new Random(1), signal: abort.signal })) {
        tokens.push(token)
        if (tokens.length === 3) abort.abort()
      }
      expect(tokens).toHaveLength(3)
      for await (const token of generate(decoder, PROMPT, { ...GREEDY, maximumTokens: 10, random: new Random(1) })) {
        expect(token).toBe(tokens[0])
        break
      }
      expect(tf.memory()).toMatchObject({ numTensors, numBytes })
    })

    test('an empty prompt is refused', async () => {
      await expect(collect(decoder, {}, [])).rejects.toMatchObject({ name: 'UserError' })
    })
  })
})
