// Ten AdamW steps of our trainer against PyTorch's: losses and final tensors, for all weights and for a soft prompt.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Decoder } from '../../src/engine/model/decoder'
import { backends, useBackend } from '../engine/backend'
import { listModels, loadModel, relativeError, type GoldenExpectation } from './golden'
import { expectLosses, trajectory } from './trajectory'

const { supported } = await listModels()

describe.each(backends)('%s', (backend) => {
  beforeAll(() => useBackend(backend))

  describe.each(supported)('%s', (folder) => {
    let decoder: Decoder
    let expected: GoldenExpectation
    beforeAll(async () => {
      ;({ decoder, expected } = await loadModel(folder))
    })
    afterAll(() => decoder.dispose())

    test('all weights', async () => {
      const full = { ...expected.full, labels: 'labels' as const }
      const { losses, tensors } = await trajectory(decoder, expected, full, { method: 'allWeights', options: {} })
      expectLosses(losses, full.losses)
      expect(Object.keys(tensors).toSorted()).toEqual(Object.keys(full.final_first).toSorted())
      for (const [name, first] of Object.entries(full.final_first)) {
        expect(relativeError(tensors[name]!.data.slice(0, first.length), first), name).toBeLessThan(1e-3)
      }
    })

    test('soft prompt', async () => {
      const { initial, final, losses: expectedLosses } = expected.prompt
      const virtualTokens = { shape: [initial.length, initial[0]!.length], data: Float32Array.from(initial.flat()) }
      const part = { method: 'softPrompt', options: { virtualTokens: initial.length, start: 'random' } }
      const { losses, tensors } = await trajectory(decoder, expected, expected.prompt, part, { virtualTokens })
      expectLosses(losses, expectedLosses)
      expect(relativeError(tensors.virtualTokens!.data, final.flat())).toBeLessThan(1e-3)
    })
  })
})
