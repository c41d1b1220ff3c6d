// Runs our trainer as the fixtures were made: one batch, constant rate, no clipping, from a given start.
import { expect } from 'vitest'
import type { Decoder } from '../../src/engine/model/decoder'
import { momentName, type StoredTensors } from '../../src/engine/training/checkpoint'
import type { RecipePart } from '../../src/engine/training/recipe'
import { Trainer } from '../../src/engine/training/trainer'
import { relativeError, toBatch, type GoldenExpectation, type GoldenTrajectory } from './golden'

export interface Trajectory {
  /** Before each of the fixture's updates. */
  losses: number[]
  /** After the last. */
  tensors: StoredTensors
}

/** As many AdamW steps as the fixture has losses. `initial` replaces the method's own start. */
export async function trajectory(
  decoder: Decoder,
  { batch }: GoldenExpectation,
  { lr, weight_decay: weightDecay, labels, losses: expected }: GoldenTrajectory,
  part: Pick<RecipePart, 'method' | 'options'>,
  initial?: StoredTensors
): Promise<Trajectory> {
  const trainer = await Trainer.create({
    decoder,
    recipe: {
      parts: [{ ...part, learningRate: lr, weightDecay }],
      schedule: { kind: 'constant', warmupSteps: 0 },
      optimiser: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, clipNorm: 0 },
      batchSize: 4,
      maximumLength: 64,
      seed: 1
    },
    budget: { kind: 'steps', steps: expected.length },
    encode: () => [],
    labelWords: []
  })
  try {
    if (initial) {
      expect(trainer.shapes).toEqual(Object.fromEntries(Object.entries(initial).map(([name, { shape }]) => [name, shape])))
      trainer.restore({ state: trainer.state, tensors: withoutMomentum(initial) })
    }
    const losses: number[] = []
    for (let i = 0; i < expected.length; i++) {
      const record = await trainer.step(toBatch(batch, labels))
      losses.push(record === 'diverged' ? Number.NaN : record.loss)
    }
    return { losses, tensors: await trainer.tensors('best') }
  } finally {
    trainer.dispose()
  }
}

/** Every loss within 1e-3 of the fixture's. */
export function expectLosses(losses: readonly number[], expected: readonly number[]): void {
  losses.forEach((loss, i) => expect(relativeError([loss], [expected[i]!]), `loss ${i}`).toBeLessThan(1e-3))
}

function withoutMomentum(tensors: StoredTensors): StoredTensors {
  const moments = Object.entries(tensors).flatMap(([name, { shape, data }]) => {
    const zeros = { shape, data: new Float32Array(data.length) }
    return (['first', 'second'] as const).map((moment) => [momentName(moment, name), zeros] as const)
  })
  return { ...tensors, ...Object.fromEntries(moments) }
}
