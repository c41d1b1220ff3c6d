// The decoder where golden does not reach: leaks, what is differentiated, virtual tokens, lengths and refusals.
import * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Batch } from '../../src/engine/model/batch'
import { weightsOfArrays } from '../../src/engine/formats/weightSource'
import { createDecoder } from '../../src/engine/model/createDecoder'
import type { Decoder } from '../../src/engine/model/decoder'
import { backends, useBackend } from './backend'
import { randomWeights, tinyDecoder, tinyLlama } from './tinyModel'

/** Two rows of 7 and 4 tokens; asks for the token behind each row's last. */
function batchOf(time: number, pad = 1): Batch {
  const inputIds = new Int32Array(2 * time).fill(pad)
  inputIds.set([5, 6, 7, 8, 9, 10, 11])
  inputIds.set([12, 13, 14, 15], time)
  return {
    size: 2,
    time,
    inputIds,
    lengths: Int32Array.of(7, 4),
    labelRows: Int32Array.of(6, time + 3),
    labelIds: Int32Array.of(20, 21),
    labelWeights: Float32Array.of(0.5, 0.5)
  }
}

describe.each(backends)('%s', (backend) => {
  let decoder: Decoder
  beforeAll(async () => {
    await useBackend(backend)
    decoder = await tinyDecoder(tinyLlama)
  })
  afterAll(() => decoder.dispose())

  test('loss and gradients leave no tensor and no byte', async () => {
    const batch = batchOf(16)
    const virtualTokens = tf.randomNormal([3, 20], 0, 1, 'float32', 1) as tf.Tensor2D
    const names = ['model.embed_tokens.weight', 'model.layers.0.mlp.up_proj.weight']
    const step = async (): Promise<void> => {
      const { value, grads } = tf.tidy(() =>
        tf.valueAndGrads((virtual: tf.Tensor, ...weights: tf.Tensor[]) =>
          decoder.loss(batch, { virtualTokens: virtual as tf.Tensor2D, weight: (name) => weights[names.indexOf(name)] })
        )([virtualTokens, ...names.map((name) => decoder.weight(name))])
      )
      expect((await value.data())[0]).toBeGreaterThan(0)
      tf.dispose([value, ...grads])
      const probabilities = decoder.logProbabilities(batch)
      await probabilities.data()
      probabilities.dispose()
    }
    await step()
    const { numTensors, numBytes, numDataBuffers } = tf.memory()
    for (let i = 0; i < 5; i++) await step()
    expect(tf.memory()).toMatchObject({ numTensors, numBytes, numDataBuffers })
    virtualTokens.dispose()
  })

  test('padding changes nothing, whatever its length and its tokens', async () => {
    const results = [batchOf(7), batchOf(16), batchOf(16, 33)].map((batch) => decoder.logProbabilities(batch))
    const [short, padded, other] = await Promise.all(results.map((result) => result.data()))
    for (let row = 0; row < 2; row++) {
      expect(padded![row]).toBeCloseTo(short![row]!, 5)
      expect(other![row]).toBeCloseTo(short![row]!, 5)
    }
    tf.dispose(results)
  })

  test('virtual tokens that equal embeddings act as those tokens', async () => {
    const batch = batchOf(16)
    const virtualTokens = tf.tidy(
      () => tf.gather(decoder.weight('model.embed_tokens.weight'), tf.tensor1d([30, 31], 'int32')) as tf.Tensor2D
    )
    const longer = { ...batch, time: 18, inputIds: new Int32Array(36), lengths: batch.lengths.map((length) => length + 2) }
    for (let row = 0; row < 2; row++) {
      longer.inputIds.set([30, 31, ...batch.inputIds.subarray(row * 16, row * 16 + 16)], row * 18)
    }
    longer.labelRows = Int32Array.of(8, 18 + 5)
    const [virtual, real] = [decoder.logProbabilities(batch, { virtualTokens }), decoder.logProbabilities(longer)]
    const [a, b] = await Promise.all([virtual.data(), real.data()])
    expect(a[0]).toBeCloseTo(b[0]!, 5)
    expect(a[1]).toBeCloseTo(b[1]!, 5)
    tf.dispose([virtualTokens, virtual, real])
  })

  test('a replaced tied embedding is used at both ends', async () => {
    const batch = batchOf(16)
    const name = 'model.embed_tokens.weight'
    const scaled = tf.tidy(() => tf.mul(decoder.weight(name), 0.5))
    const weights = { ...randomWeights(tinyLlama), [name]: { shape: [50, 20], data: (await scaled.data()) as Float32Array } }
    const moved = await createDecoder(tinyLlama, weightsOfArrays(weights))
    const results = [
      decoder.loss(batch, { weight: (asked) => (asked === name ? scaled : undefined) }),
      moved.loss(batch),
      decoder.loss(batch)
    ]
    const [replaced, loaded, before] = await Promise.all(results.map(async (result) => (await result.data())[0]!))
    expect(replaced).toBeCloseTo(loaded!, 5)
    expect(Math.abs(replaced! - before!)).toBeGreaterThan(0.01)
    tf.dispose([scaled, ...results])
    moved.dispose()
  })

  test('a text beyond the last position is refused, virtual tokens and prefix counted', () => {
    const batch = { ...batchOf(64), lengths: Int32Array.of(62, 4) }
    const loss = decoder.loss(batch)
    loss.dispose()
    const virtualTokens = tf.zeros([3, 20]) as tf.Tensor2D
    const prefix = tf.zeros([3, 12]) as tf.Tensor2D
    const before = tf.memory().numTensors
    const refusal = { name: 'UserError', message: expect.stringContaining('65 tokens') as string }
    expect(() => decoder.loss(batch, { virtualTokens })).toThrow(expect.objectContaining(refusal))
    expect(() => decoder.loss(batch, { keyValues: () => ({ key: prefix, value: prefix }) })).toThrow(expect.objectContaining(refusal))
    expect(tf.memory().numTensors).toBe(before)
    tf.dispose([virtualTokens, prefix])
  })
})
