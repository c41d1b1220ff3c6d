// Tuned weights that leave as a Hugging Face folder: our own loader reads them again, and the model gives the logits that it gave when tuned.
import * as tf from '@tensorflow/tfjs'
import { beforeAll, expect, test } from 'vitest'
import { exportTable, type ExportKind } from '../../src/engine/formats/exports'
import { weightsOfArrays } from '../../src/engine/formats/weightSource'
import type { Adaptation } from '../../src/engine/methods/method'
import { optionsOf, getMethod } from '../../src/engine/methods/registry'
import { trainedShapes } from '../../src/engine/methods/trained'
import { tunedAdaptation } from '../../src/engine/methods/tuned'
import { createDecoder } from '../../src/engine/model/createDecoder'
import type { Decoder } from '../../src/engine/model/decoder'
import { Random } from '../../src/engine/random'
import type { StoredTensors } from '../../src/engine/training/checkpoint'
import { createBatch } from '../../src/tasks/batches'
import { relativeError } from '../parity/golden'
import { weightsOfBytes } from '../fixtures/weightsOfBytes'
import { useBackend } from './backend'
import { randomWeights, tinyDecoder, tinyGptNeo, tinyLlama } from './tinyModel'

beforeAll(() => useBackend('wasm'))

const batch = createBatch([{ promptIds: [3, 9, 27, 31], answerIds: [7, 8] }], 1)

async function logitsOf(decoder: Decoder, adaptation: Adaptation = {}): Promise<Float32Array> {
  const logits = tf.tidy(() => decoder.logits(decoder.hiddenStates(batch, adaptation), adaptation))
  const values = (await logits.data()).slice() as Float32Array
  logits.dispose()
  return values
}

const lora = { method: 'lora', options: { rank: 2, targets: 'linear' } }
const ia3 = { method: 'ia3', options: {} }
const lastLayers = { method: 'lastLayers', options: {} }
const biases = { method: 'biases', options: {} }

test.each<[ExportKind, object, (typeof lora | typeof ia3)[], number]>([
  ['huggingFace', tinyLlama, [lastLayers], 1e-6],
  ['huggingFace', tinyGptNeo, [biases], 1e-6],
  ['merged', tinyLlama, [lora, lastLayers], 1e-5],
  ['merged', tinyLlama, [lora, ia3], 1e-5],
  ['merged', tinyGptNeo, [ia3, lora], 1e-5]
])('%s %#', async (kind, json, methods, bound) => {
  const parts = methods.map((part) => ({
    ...part,
    options: optionsOf(getMethod(part.method), part.options),
    learningRate: 0,
    weightDecay: 0
  }))
  const decoder = await tinyDecoder(json)
  const { config, layout } = decoder
  const random = new Random(3)
  const shapes = Object.entries(trainedShapes(parts, { config, layout, labels: 0 }))
  const tensors: StoredTensors = Object.fromEntries(
    shapes.map(([name, shape]) => {
      const length = shape.reduce((product, side) => product * side, 1)
      return [name, { shape: [...shape], data: Float32Array.from({ length }, () => 1 + 0.3 * random.normal()) }]
    })
  )
  const tuned = tunedAdaptation(parts, tensors, config)
  const before = await logitsOf(decoder)
  const beside = await logitsOf(decoder, tuned.adaptation)
  tuned.dispose()
  expect(relativeError(beside, before)).toBeGreaterThan(0.1)

  const base = { config, layout, json, weights: weightsOfArrays(randomWeights(json)), others: [] }
  const files = await exportTable.find((row) => row.kind === kind)!.files({ parts, tensors, base, baseName: 'tiny' })
  const read = async (name: string) => new Uint8Array(await files.find((file) => file.name === name)!.data.arrayBuffer())
  const exported = JSON.parse(new TextDecoder().decode(await read('config.json'))) as unknown
  const loaded = await createDecoder(exported, await weightsOfBytes(await read('model.safetensors')))
  expect(relativeError(await logitsOf(loaded), beside)).toBeLessThan(bound)
  decoder.dispose()
  loaded.dispose()
})
