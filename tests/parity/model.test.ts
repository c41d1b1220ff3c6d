// The decoder against PyTorch and Transformers: logits, losses, gradients, key-value prefixes and greedy generation.
import * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Decoder } from '../../src/engine/model/decoder'
import { generate } from '../../src/engine/model/generate'
import { GREEDY } from '../../src/engine/model/sampling'
import { Random } from '../../src/engine/random'
import { backends, useBackend } from '../engine/backend'
import { listModels, loadModel, relativeError, toBatch, type GoldenExpectation } from './golden'

const { own, supported, unsupported } = await listModels()

test('the models that must agree are there', () => {
  if (own) expect(supported).toEqual(['gpt2', 'gpt_neo', 'gpt_neox', 'llama', 'llama-untied', 'qwen2'])
  else if (unsupported.length > 0) console.warn(`Not supported, so not compared: ${unsupported.join(', ')}`)
  expect(supported.length).toBeGreaterThan(0)
})

/** Float32 gradients: norms within 1e-3 of themselves; single values and sums within 1e-3 of what the norm makes likely for them. */
function expectGradient(name: string, values: Float32Array, expected: { norm: number; sum: number; first: number[] }): void {
  const norm = Math.hypot(...chunkNorms(values))
  const sum = values.reduce((total, value) => total + value, 0)
  const typical = expected.norm / Math.sqrt(values.length)
  expect(Math.abs(norm - expected.norm) / expected.norm, `norm of ${name}`).toBeLessThan(1e-3)
  expect(Math.abs(sum - expected.sum) / Math.max(Math.abs(expected.sum), expected.norm), `sum of ${name}`).toBeLessThan(1e-3)
  expected.first.forEach((value, index) => {
    const error = Math.abs((values[index] as number) - value)
    expect(error / Math.max(Math.abs(value), typical), `value ${index} of ${name}`).toBeLessThan(1e-3)
  })
}

/** Math.hypot takes its numbers as arguments, of which there is a limit. */
function chunkNorms(values: Float32Array): number[] {
  const norms: number[] = []
  for (let at = 0; at < values.length; at += 4096) norms.push(Math.hypot(...values.subarray(at, at + 4096)))
  return norms
}

describe.each(backends)('%s', (backend) => {
  beforeAll(() => useBackend(backend))

  describe.each(supported)('%s', (folder) => {
    let decoder: Decoder
    let expected: GoldenExpectation
    beforeAll(async () => {
      ;({ decoder, expected } = await loadModel(folder))
    })
    afterAll(() => decoder.dispose())

    test('logits and losses', async () => {
      const batch = toBatch(expected.batch, 'labels')
      const everyPosition = { ...batch, labelRows: Int32Array.from({ length: batch.lengths[0] as number }, (_, i) => i) }
      const logits = tf.tidy(() => decoder.logits(decoder.hiddenStates(everyPosition)))
      expect(relativeError(await logits.data(), expected.forward.logits_row0.flat())).toBeLessThan(1e-4)
      logits.dispose()
      for (const [which, value] of [
        ['labels', expected.forward.loss],
        ['class_labels', expected.forward.class_loss]
      ] as const) {
        const loss = decoder.loss(toBatch(expected.batch, which))
        expect(relativeError(await loss.data(), [value]), which).toBeLessThan(1e-4)
        loss.dispose()
      }
    })

    test('every gradient', async () => {
      const batch = toBatch(expected.batch, 'labels')
      const names = Object.keys(expected.grads)
      expect(names.toSorted()).toEqual(decoder.weightNames.toSorted())
      const gradients = tf.tidy(() => {
        const trained = names.map((name) => decoder.weight(name))
        return tf.grads((...weights: tf.Tensor[]) => decoder.loss(batch, { weight: (name) => weights[names.indexOf(name)] }))(trained)
      })
      for (const [index, name] of names.entries()) {
        expectGradient(name, (await gradients[index]!.data()) as Float32Array, expected.grads[name]!)
      }
      tf.dispose(gradients)
    })

    test('the loss behind a soft prompt', async () => {
      const virtualTokens = tf.tensor2d(expected.prompt.initial)
      const loss = decoder.loss(toBatch(expected.batch, expected.prompt.labels), { virtualTokens })
      expect(relativeError(await loss.data(), expected.prompt.losses.slice(0, 1))).toBeLessThan(1e-4)
      tf.dispose([loss, virtualTokens])
    })

    test('the loss behind a key-value prefix', async () => {
      const { layers, keyValueHeads, headSize } = decoder.config
      // PEFT keeps, by virtual token, each layer's key and then its value.
      const prefix = tf.tidy(() =>
        tf.unstack(tf.reshape(tf.tensor2d(expected.prefix.initial), [-1, layers * 2, keyValueHeads * headSize]), 1)
      ) as tf.Tensor2D[]
      const keyValues = (layer: number) => ({ key: prefix[2 * layer]!, value: prefix[2 * layer + 1]! })
      const loss = decoder.loss(toBatch(expected.batch, expected.prefix.labels), { keyValues })
      expect(relativeError(await loss.data(), expected.prefix.losses.slice(0, 1))).toBeLessThan(1e-4)
      tf.dispose([loss, ...prefix])
    })

    test('the loss through changed linear layers', async () => {
      const { lora, ia3 } = expected
      const batch = toBatch(expected.batch, 'labels')
      const scales = (path: string): number[] | undefined => ia3.initial[`${path}.ia3_l.default`]
      const feedsForward = (path: string): boolean => ia3.feedforward_modules.some((module) => path.endsWith(`.${module}`))
      const losses = tf.tidy(() => {
        const lowRank = decoder.loss(batch, {
          linear(path, x, y) {
            const [a, b] = [lora.initial[`${path}.lora_A`], lora.initial[`${path}.lora_B`]]
            if (!a || !b) return y
            const change = tf.matMul(tf.matMul(x, tf.tensor2d(a), false, true), tf.tensor2d(b), false, true)
            return tf.add(y, tf.mul(change, lora.alpha / lora.r))
          }
        })
        const scaled = decoder.loss(batch, {
          linearInput: (path, x) => (scales(path) && feedsForward(path) ? tf.mul(x, scales(path)!) : x),
          linear: (path, _x, y) => (scales(path) && !feedsForward(path) ? tf.mul(y, scales(path)!) : y)
        })
        return [lowRank, scaled] as const
      })
      expect(relativeError(await losses[0].data(), lora.losses.slice(0, 1)), 'low rank').toBeLessThan(1e-4)
      expect(relativeError(await losses[1].data(), ia3.losses.slice(0, 1)), 'scales').toBeLessThan(1e-4)
      tf.dispose([...losses])
    })

    test('greedy generation', async () => {
      const { prompt, greedy } = expected.generate
      const tokens: number[] = []
      const options = { ...GREEDY, maximumTokens: greedy.length, random: new Random(1) }
      for await (const token of generate(decoder, prompt, options)) tokens.push(token)
      expect(tokens).toEqual(greedy)
    })
  })
})
