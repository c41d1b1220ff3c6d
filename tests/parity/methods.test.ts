// Ten AdamW steps of each method against PEFT's: losses and final tensors.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { trainableParameters } from '../../src/engine/methods/trained'
import type { Decoder } from '../../src/engine/model/decoder'
import { backends, useBackend } from '../engine/backend'
import { listModels, loadModel, readJson, type GoldenExpectation } from './golden'
import { expectTensors, ia3Tensors, loraTensors, prefixTensors } from './goldenTensors'
import { expectLosses, trajectory } from './trajectory'

const { own, supported } = await listModels()
const models = await Promise.all(
  supported.map(async (folder) => ({ folder, expects: Object.keys(await readJson<object>(`${folder}/expected.json`)) }))
)

test('every method has its fixtures, biases where the model has some', () => {
  if (!own) return
  for (const { expects } of models) expect(expects).toEqual(expect.arrayContaining(['prefix', 'lora', 'ia3', 'last_layer']))
  const withBiases = models.filter(({ expects }) => expects.includes('bitfit')).map(({ folder }) => folder)
  expect(withBiases).toEqual(['gpt2', 'gpt_neo', 'gpt_neox', 'qwen2'])
})

describe.each(backends)('%s', (backend) => {
  beforeAll(() => useBackend(backend))

  describe.each(models)('$folder', ({ folder, expects }) => {
    /** Fixtures from elsewhere may hold less than ours; models without biases have no fixture of them. */
    const testOf = (part: string) => (expects.includes(part) ? test : () => undefined)
    let decoder: Decoder
    let expected: GoldenExpectation
    beforeAll(async () => {
      ;({ decoder, expected } = await loadModel(folder))
    })
    afterAll(() => decoder.dispose())

    testOf('prefix')('prefix', async () => {
      const { prefix } = expected
      const part = { method: 'prefix', options: { virtualTokens: prefix.initial.length } }
      const initial = prefixTensors(prefix.initial, decoder.config)
      const { losses, tensors } = await trajectory(decoder, expected, prefix, part, initial)
      expectLosses(losses, prefix.losses)
      expectTensors(tensors, prefixTensors(prefix.final, decoder.config), 2e-3)
    })

    testOf('lora')('LoRA', async () => {
      const { lora } = expected
      const part = { method: 'lora', options: { rank: lora.r, alpha: lora.alpha, targets: 'queryValue' } }
      const { losses, tensors } = await trajectory(decoder, expected, lora, part, loraTensors(lora.initial))
      expectLosses(losses, lora.losses)
      expectTensors(tensors, loraTensors(lora.final), 2e-3)
    })

    testOf('ia3')('(IA)³', async () => {
      const { ia3 } = expected
      const initial = ia3Tensors(ia3.initial, ia3.feedforward_modules)
      const { losses, tensors } = await trajectory(decoder, expected, ia3, { method: 'ia3', options: {} }, initial)
      expectLosses(losses, ia3.losses)
      expectTensors(tensors, ia3Tensors(ia3.final, ia3.feedforward_modules), 2e-3)
    })

    testOf('bitfit')('biases', async () => {
      const { losses, tensors } = await trajectory(decoder, expected, expected.bitfit!, { method: 'biases', options: {} })
      expectLosses(losses, expected.bitfit!.losses)
      expect(Object.keys(tensors).toSorted()).toEqual(decoder.weightNames.filter((name) => name.endsWith('.bias')).toSorted())
    })

    testOf('last_layer')('last layer', async () => {
      const { last_layer: lastLayer } = expected
      const { losses } = await trajectory(decoder, expected, lastLayer, { method: 'lastLayers', options: {} })
      expectLosses(losses, lastLayer.losses)
      const { config, layout } = decoder
      const on = { config, layout, labels: 0 }
      expect(trainableParameters([{ method: 'lastLayers', options: {} }], on)).toBe(lastLayer.trainable)
    })
  })
})
