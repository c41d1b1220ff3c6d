// Ten AdamW steps of our trainer against PyTorch's: losses and final tensors, for all weights and for a soft prompt.
import { beforeAll, describe, expect, test } from 'vitest'
import { momentName, type StoredTensors } from '../../src/engine/training/checkpoint'
import type { Recipe } from '../../src/engine/training/recipe'
import { Trainer } from '../../src/engine/training/trainer'
import { backends, useBackend } from '../engine/backend'
import { listModels, loadModel, relativeError, toBatch, type GoldenExpectation, type GoldenTrajectory } from './golden'

const { supported } = await listModels()

function recipeOf(method: string, options: Recipe['parts'][number]['options'], { lr, weight_decay }: GoldenTrajectory): Recipe {
  return {
    parts: [{ method, options, learningRate: lr, weightDecay: weight_decay }],
    schedule: { kind: 'constant', warmupSteps: 0 },
    optimiser: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, clipNorm: 0 },
    batchSize: 4,
    maximumLength: 64,
    seed: 1
  }
}

/** The losses before each of the fixture's updates, and the tensors after the last. `initial` replaces the method's own start. */
async function trajectory(
  folder: string,
  which: 'full' | 'prompt',
  recipeFor: (expected: GoldenExpectation) => Recipe,
  initial?: (expected: GoldenExpectation) => StoredTensors
): Promise<{ losses: number[]; tensors: StoredTensors; expected: GoldenExpectation }> {
  const { decoder, expected } = await loadModel(folder)
  const steps = expected[which].losses.length
  const options = { decoder, recipe: recipeFor(expected), budget: { kind: 'steps', steps } as const, encode: () => [], labelWords: [] }
  const trainer = await Trainer.create(options)
  if (initial) trainer.restore({ state: trainer.state, tensors: initial(expected) })
  const batch = toBatch(expected.batch, which === 'prompt' ? expected.prompt.labels : 'labels')
  const losses: number[] = []
  for (let i = 0; i < steps; i++) {
    const record = await trainer.step(batch)
    losses.push(record === 'diverged' ? Number.NaN : record.loss)
  }
  const tensors = await trainer.tensors('best')
  trainer.dispose()
  decoder.dispose()
  return { losses, tensors, expected }
}

describe.each(backends)('%s', (backend) => {
  beforeAll(() => useBackend(backend))

  describe.each(supported)('%s', (folder) => {
    test('all weights', async () => {
      const { losses, tensors, expected } = await trajectory(folder, 'full', ({ full }) => recipeOf('allWeights', {}, full))
      losses.forEach((loss, i) => expect(relativeError([loss], [expected.full.losses[i]!]), `loss ${i}`).toBeLessThan(1e-3))
      expect(Object.keys(tensors).toSorted()).toEqual(Object.keys(expected.full.final_first).toSorted())
      for (const [name, first] of Object.entries(expected.full.final_first)) {
        expect(relativeError(tensors[name]!.data.slice(0, first.length), first), name).toBeLessThan(1e-3)
      }
    })

    test('soft prompt', async () => {
      const { losses, tensors, expected } = await trajectory(
        folder,
        'prompt',
        ({ prompt }) => recipeOf('softPrompt', { virtualTokens: prompt.initial.length, start: 'random' }, prompt),
        ({ prompt: { initial } }) => {
          const shape = [initial.length, initial[0]!.length]
          const zeros = { shape, data: new Float32Array(initial.length * initial[0]!.length) }
          return {
            virtualTokens: { shape, data: Float32Array.from(initial.flat()) },
            [momentName('first', 'virtualTokens')]: zeros,
            [momentName('second', 'virtualTokens')]: zeros
          }
        }
      )
      losses.forEach((loss, i) => expect(relativeError([loss], [expected.prompt.losses[i]!]), `loss ${i}`).toBeLessThan(1e-3))
      expect(relativeError(tensors.virtualTokens!.data, expected.prompt.final.flat())).toBeLessThan(1e-3)
    })
  })
})
