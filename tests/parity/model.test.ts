// The decoder against PyTorch and Transformers: logits, losses, gradients, key-value prefixes and greedy generation.
import * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readArchitecture } from '../../src/engine/model/architectures'
import type { Decoder } from '../../src/engine/model/decoder'
import { generate } from '../../src/engine/model/generate'
import { GREEDY } from '../../src/engine/model/sampling'
import { Random } from '../../src/engine/random'
import { backends, useBackend } from '../engine/backend'
import { listModels, loadModel, readJson, relativeError, toBatch, type GoldenExpectation } from './golden'

const { own, supported, unsupported } = await listModels()
const models = await Promise.all(
  supported.map(async (folder) => ({ folder, expects: Object.keys(await readJson<object>(`${folder}/expected.json`)) }))
)

test('the models that must agree are there, with all that they are compared by', () => {
  expect(supported.length).toBeGreaterThan(0)
  if (!own) return
  expect(supported).toEqual(['gpt2', 'gpt_neo', 'gpt_neox', 'llama', 'llama-untied', 'qwen2'])
  for (const { expects } of models) expect(expects).toEqual(expect.arrayContaining(['prompt', 'prefix', 'lora', 'ia3', 'generate']))
})

test.each(unsupported)('%s is not supported, so not compared, and is refused by its type', async (folder) => {
  const config = await readJson<{ model_type: string }>(`${folder}/config.json`)
  const message = expect.stringContaining(`"${config.model_type}"`) as string
  expect(() => readArchitecture(config)).toThrow(expect.objectContaining({ name: 'UserError', message }))
})

/** Float32 gradients: norms within 1e-3 of themselves; single values and sums within 1e-3 of what the norm makes likely for them. */
function expectGradient(name: string, values: Float32Array, expected: { norm: number; sum: number; first: number[] }): void {
  const norm = Math.hypot(...chunkNorms(values))
  const sum = values.reduce((total, value) => total + value, 0)
  const size = Math.max(expected.norm, 1e-6)
  const typical = size / Math.sqrt(values.length)
  expect(Math.abs(norm - expected.norm) / size, `norm of ${name}`).toBeLessThan(1e-3)
  expect(Math.abs(sum - expected.sum) / Math.max(Math.abs(expected.sum), size), `sum of ${name}`).toBeLessThan(1e-3)
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

  describe.each(models)('$folder', ({ folder, expects }) => {
    /** Fixtures from elsewhere may hold less than ours. */
    const testOf = (part: string) => (expects.includes(part) ? test : () => undefined)
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

    testOf('prompt')('the loss behind a soft prompt', async () => {
      const virtualTokens = tf.tensor2d(expected.prompt.initial)
      const loss = decoder.loss(toBatch(expected.batch, expected.prompt.labels), { virtualTokens })
      expect(relativeError(await loss.data(), expected.prompt.losses.slice(0, 1))).toBeLessThan(1e-4)
      tf.dispose([loss, virtualTokens])
    })

    testOf('prefix')('the loss behind a key-value prefix', async () => {
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

    testOf('lora')('the loss through low-rank changes of linear layers', async () => {
      const { initial, alpha, r, losses } = expected.lora
      const loss = decoder.loss(toBatch(expected.batch, 'labels'), {
        linear(path, x, y) {
          const [a, b] = [initial[`${path}.lora_A`], initial[`${path}.lora_B`]]
          if (!a || !b) return y
          return tf.add(y, tf.mul(tf.matMul(tf.matMul(x, tf.tensor2d(a), false, true), tf.tensor2d(b), false, true), alpha / r))
        }
      })
      expect(relativeError(await loss.data(), losses.slice(0, 1))).toBeLessThan(1e-4)
      loss.dispose()
    })

    testOf('ia3')('the loss through scaled inputs and outputs of linear layers', async () => {
      const { initial, feedforward_modules: fed, losses } = expected.ia3
      const scaled = (path: string, x: tf.Tensor2D, ofInput: boolean): tf.Tensor2D => {
        const scales = initial[`${path}.ia3_l.default`]
        return scales && fed.some((module) => path.endsWith(`.${module}`)) === ofInput ? tf.mul(x, scales) : x
      }
      const loss = decoder.loss(toBatch(expected.batch, 'labels'), {
        linearInput: (path, x) => scaled(path, x, true),
        linear: (path, _x, y) => scaled(path, y, false)
      })
      expect(relativeError(await loss.data(), losses.slice(0, 1))).toBeLessThan(1e-4)
      loss.dispose()
    })

    testOf('generate')('greedy generation', async () => {
      const { prompt, greedy } = expected.generate
      const tokens: number[] = []
      const options = { ...GREEDY, maximumTokens: greedy.length, random: new Random(1) }
      for await (const token of generate(decoder, prompt, options)) tokens.push(token)
      expect(tokens).toEqual(greedy)
    })
  })
})
