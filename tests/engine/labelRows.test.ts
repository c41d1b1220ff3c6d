// Behind the last layer's attention, and of its queries, only the label rows are computed: results and gradients are those that they have among all rows.
import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Adaptation } from '../../src/engine/methods/method'
import type { Batch } from '../../src/engine/model/batch'
import { layerProjections } from '../../src/engine/model/layout'
import { backends, useBackend } from './backend'
import { difference } from './fusedHarness'
import { tinyDecoder, tinyGptNeo, tinyLlama } from './tinyModel'

const [size, time, RANK] = [3, 16, 2]
/** Two in the first row, one of them twice; none in the second; the last row's first token. */
const labelRows = Int32Array.of(14, 3, 3, 32)
const batch: Batch = {
  size,
  time,
  inputIds: Int32Array.from({ length: size * time }, (_, i) => (7 * i) % 50),
  lengths: Int32Array.of(16, 4, 9),
  labelRows,
  labelIds: Int32Array.of(5, 6, 7, 8),
  labelWeights: new Float32Array(4).fill(0.25)
}

const normal = (rows: number, columns: number, seed: number): tf.Tensor2D => tf.randomNormal([rows, columns], 0, 1, 'float32', seed)

describe.each(backends)('%s', (backend) => {
  beforeAll(() => useBackend(backend))

  test.each([
    { config: { ...tinyLlama, head_dim: 8 }, name: 'grouped heads and rotary positions' },
    { config: tinyGptNeo, name: 'a window and learned positions' }
  ])('$name: a soft prompt, a prefix, LoRA and trained weights', async ({ config }) => {
    const decoder = await tinyDecoder(config)
    const { layers } = decoder.layout
    const last = layers[layers.length - 1]!
    if (last.attention.kind !== 'separate') throw new Error('The queries are a product of their own here.')
    const { query, key } = last.attention
    const width = decoder.config.keyValueHeads * decoder.config.headSize
    const trained: Record<string, tf.Tensor> = {
      virtualTokens: normal(3, 20, 4),
      prefixKey: normal(2, width, 5),
      prefixValue: normal(2, width, 6),
      norm: decoder.copyOf(`${last.attentionNorm}.weight`),
      query: decoder.copyOf(`${query.path}.weight`)
    }
    for (const { path, inputs, outputs } of layerProjections(last)) {
      trained[`${path}.a`] = normal(RANK, inputs, 7)
      trained[`${path}.b`] = normal(RANK, outputs, 8)
    }
    const names = Object.keys(trained)
    const seen = new Map<string, number>()
    const adaptation = (tensors: Record<string, tf.Tensor>): Adaptation => ({
      virtualTokens: tensors.virtualTokens as tf.Tensor2D,
      keyValues: () => ({ key: tensors.prefixKey as tf.Tensor2D, value: tensors.prefixValue as tf.Tensor2D }),
      weight: (name) =>
        name === `${last.attentionNorm}.weight` ? tensors.norm : name === `${query.path}.weight` ? tensors.query : undefined,
      linear(path, x, y) {
        seen.set(path, x.shape[0])
        const [a, b] = [tensors[`${path}.a`], tensors[`${path}.b`]]
        return a && b ? tf.add(y, tf.matMul(tf.matMul(x, a as tf.Tensor2D, false, true), b as tf.Tensor2D)) : y
      }
    })
    const weights = normal(labelRows.length, 20, 9)
    const gradients = async (observe?: () => void) => {
      const loss = (...tensors: tf.Tensor[]): tf.Scalar => {
        const given = adaptation(Object.fromEntries(names.map((name, at) => [name, tensors[at]!])))
        return tf.sum(tf.mul(decoder.hiddenStates(batch, given, { observe }), weights))
      }
      const { value, grads } = tf.valueAndGrads(loss)(Object.values(trained))
      return { loss: (await value.data())[0]!, value, grads }
    }
    const some = await gradients()
    expect([seen.get(query.path), seen.get(key.path)]).toEqual([4, 3 + size * time])
    // Whoever watches the attention sees all of it.
    const all = await gradients(() => undefined)
    expect(seen.get(query.path)).toBe(3 + size * time)
    expect(some.loss).toBeCloseTo(all.loss, 4)
    for (const [at, gradient] of some.grads.entries()) expect(await difference(gradient, all.grads[at]!), names[at]).toBeLessThan(2e-5)
    tf.dispose([trained, weights, some.value, some.grads, all.value, all.grads])
    decoder.dispose()
  })
})
