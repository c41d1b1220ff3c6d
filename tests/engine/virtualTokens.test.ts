// Virtual tokens are read once for all rows of a batch: what comes of it is what they give in front of every row.
import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, test } from 'vitest'
import { gatherRows } from '../../src/engine/kernels/gatherRows'
import { labelLoss } from '../../src/engine/kernels/labelLoss'
import type { FrozenMatrix } from '../../src/engine/kernels/packed'
import type { Adaptation } from '../../src/engine/methods/method'
import type { Decoder } from '../../src/engine/model/decoder'
import { backends, useBackend } from './backend'
import { difference } from './fusedHarness'
import { tinyDecoder, tinyGptNeo, tinyLlama } from './tinyModel'

const VIRTUAL = 3
const [size, time] = [3, 16]
const batch = {
  size,
  time,
  inputIds: Int32Array.from({ length: size * time }, (_, i) => (7 * i) % 50),
  lengths: Int32Array.of(16, 4, 9),
  // The last two rows' first tokens follow the virtual ones alone.
  labelRows: Int32Array.of(14, 16, 19, 32, 40),
  labelIds: Int32Array.of(5, 6, 7, 8, 9),
  labelWeights: new Float32Array(5).fill(0.2)
}

/** The loss with the virtual tokens repeated in every row, which the decoder then takes for ordinary ones. */
function repeated(decoder: Decoder, virtualTokens: tf.Tensor2D, adaptation: Adaptation): tf.Scalar {
  const long = VIRTUAL + time
  const sources = Int32Array.from({ length: size * long }, (_, at) => {
    const place = at % long
    return place < VIRTUAL ? place : VIRTUAL + Math.floor(at / long) * time + place - VIRTUAL
  })
  const hidden = decoder.run(gatherRows(tf.concat([virtualTokens, decoder.embed(batch.inputIds, {})], 0), sources), {
    batch: size,
    time: long,
    offset: 0,
    lengths: batch.lengths.map((length) => VIRTUAL + length),
    adaptation,
    rows: batch.labelRows.map((row) => Math.floor(row / time) * long + VIRTUAL + (row % time))
  })
  const table = decoder.frozen(decoder.layout.head) as FrozenMatrix
  return labelLoss({ hidden, table, targets: batch.labelIds, weights: batch.labelWeights })
}

const neox = {
  model_type: 'gpt_neox',
  hidden_size: 20,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  intermediate_size: 28,
  vocab_size: 50,
  max_position_embeddings: 64,
  eos_token_id: 2
}

describe.each(backends)('%s', (backend) => {
  beforeAll(() => useBackend(backend))

  test.each([tinyLlama, tinyGptNeo, neox])('$model_type: loss and gradients, with a prefix in front and without', async (config) => {
    const decoder = await tinyDecoder(config)
    const width = decoder.config.keyValueHeads * decoder.config.headSize
    const normal = (rows: number, columns: number, seed: number): tf.Tensor2D => tf.randomNormal([rows, columns], 0, 1, 'float32', seed)
    const tensors: tf.Tensor[] = [normal(VIRTUAL, 20, 4), normal(2, width, 5), normal(2, width, 6)]
    for (const prefixed of [false, true]) {
      const inputs = tensors.slice(0, prefixed ? 3 : 1)
      const withPrefix = (key?: tf.Tensor, value?: tf.Tensor): Adaptation =>
        key && value ? { keyValues: () => ({ key: key as tf.Tensor2D, value: value as tf.Tensor2D }) } : {}
      const once = tf.valueAndGrads((virtualTokens, key, value) =>
        decoder.loss(batch, { ...withPrefix(key, value), virtualTokens: virtualTokens as tf.Tensor2D })
      )(inputs)
      const often = tf.valueAndGrads((virtualTokens, key, value) =>
        repeated(decoder, virtualTokens as tf.Tensor2D, withPrefix(key, value))
      )(inputs)
      expect((await once.value.data())[0]).toBeCloseTo((await often.value.data())[0]!, 5)
      for (const [at, gradient] of once.grads.entries()) expect(await difference(gradient, often.grads[at]!), `${at}`).toBeLessThan(1e-5)
      tf.dispose([once.value, once.grads, often.value, often.grads])
    }
    tf.dispose(tensors)
    decoder.dispose()
  })

  test.each([
    { name: 'LoRA beside the first queries', path: 'self_attn.q_proj', kind: 'lora' },
    { name: 'a trained norm in front of them', path: 'input_layernorm', kind: 'weight' }
  ])('together with $name all rows have their share in the gradients', async ({ path, kind }) => {
    const decoder = await tinyDecoder(tinyLlama)
    const name = `model.layers.0.${path}`
    const normal = (rows: number, columns: number, seed: number): tf.Tensor2D => tf.randomNormal([rows, columns], 0, 1, 'float32', seed)
    const tensors: tf.Tensor[] = [
      normal(VIRTUAL, 20, 4),
      ...(kind === 'lora' ? [normal(2, 20, 5), normal(2, 24, 6)] : [decoder.copyOf(`${name}.weight`)])
    ]
    const hybrid = (a: tf.Tensor, b?: tf.Tensor): Adaptation =>
      b
        ? {
            linear: (at, x, y) => (at === name ? tf.add(y, tf.matMul(tf.matMul(x, a as tf.Tensor2D, false, true), b as tf.Tensor2D)) : y)
          }
        : { weight: (at) => (at === `${name}.weight` ? a : undefined) }
    const once = tf.valueAndGrads((virtualTokens, ...given) =>
      decoder.loss(batch, { ...hybrid(given[0]!, given[1]), virtualTokens: virtualTokens as tf.Tensor2D })
    )(tensors)
    const often = tf.valueAndGrads((virtualTokens, ...given) =>
      repeated(decoder, virtualTokens as tf.Tensor2D, hybrid(given[0]!, given[1]))
    )(tensors)
    expect((await once.value.data())[0]).toBeCloseTo((await often.value.data())[0]!, 5)
    for (const [at, gradient] of once.grads.entries()) expect(await difference(gradient, often.grads[at]!), `${at}`).toBeLessThan(1e-5)
    tf.dispose([tensors, once.value, once.grads, often.value, often.grads])
    decoder.dispose()
  })
})
