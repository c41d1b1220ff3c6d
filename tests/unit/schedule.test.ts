// Learning rate schedules: warm-up, decay, and the joint between them.
import { expect, test } from 'vitest'
import { isWithin, learningRateFactor, progressWithin } from '../../src/engine/training/schedule'

const curve = (kind: 'constant' | 'linear' | 'cosine', warmupSteps: number, steps: number) =>
  Array.from({ length: steps }, (_, step) => learningRateFactor({ kind, warmupSteps }, step, step / steps))

test('warm-up rises by equal parts to the full rate', () => {
  expect(curve('constant', 4, 6)).toEqual([0.25, 0.5, 0.75, 1, 1, 1])
})

test('no warm-up starts at the full rate', () => {
  expect(curve('linear', 0, 4)).toEqual([1, 0.75, 0.5, 0.25])
})

test('linear reaches zero with the budget and not before', () => {
  const factors = curve('linear', 10, 100)
  expect(factors.slice(0, 3)).toEqual([0.1, 0.2, 0.3])
  expect(factors[50]).toBeCloseTo(0.5, 12)
  expect(factors[99]).toBeCloseTo(0.01, 12)
  expect(learningRateFactor({ kind: 'linear', warmupSteps: 10 }, 100, 1)).toBe(0)
})

test('cosine is half way at the middle', () => {
  const at = (progress: number) => learningRateFactor({ kind: 'cosine', warmupSteps: 0 }, 5, progress)
  expect(at(0)).toBe(1)
  expect(at(0.5)).toBeCloseTo(0.5, 12)
  expect(at(0.25)).toBeCloseTo((1 + Math.SQRT1_2) / 2, 12)
  expect(at(1)).toBeCloseTo(0, 12)
})

test('no step is more than one warm-up step above the one before: the joint has no jump', () => {
  for (const kind of ['linear', 'cosine', 'constant'] as const) {
    const factors = curve(kind, 10, 40)
    for (let i = 1; i < factors.length; i++) expect(Math.abs(factors[i]! - factors[i - 1]!)).toBeLessThanOrEqual(0.1 + 1e-12)
  }
})

test('progress past the budget, as with seconds, never makes the rate negative', () => {
  expect(learningRateFactor({ kind: 'linear', warmupSteps: 0 }, 7, 1.3)).toBe(0)
})

test('a window holds its first share and not its last, and is counted from 0 to 1', () => {
  const window = { from: 0.25, to: 0.75 }
  expect([0.2, 0.25, 0.5, 0.75].map((progress) => isWithin(window, progress))).toEqual([false, true, true, false])
  expect([0.25, 0.5, 0.625].map((progress) => progressWithin(window, progress))).toEqual([0, 0.5, 0.75])
  expect(isWithin(undefined, 0)).toBe(true)
  expect(progressWithin(undefined, 0.3)).toBe(0.3)
})
