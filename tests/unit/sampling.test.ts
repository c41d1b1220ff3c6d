// Sampling: which tokens may come, how often, and that a seed repeats it.
import { expect, test } from 'vitest'
import { GREEDY, sampleToken, type SamplingOptions } from '../../src/engine/model/sampling'
import { Random } from '../../src/engine/random'

const logits = Float32Array.from([0.05, 0.6, 0.05, 0.3].map(Math.log))

function shares(options: Partial<SamplingOptions>, draws = 20000): number[] {
  const random = new Random(7)
  const counts = [0, 0, 0, 0]
  for (let i = 0; i < draws; i++) counts[sampleToken(logits, { temperature: 1, topK: 0, topP: 1, ...options }, random)]!++
  return counts.map((count) => count / draws)
}

const close = (actual: number[], expected: number[]): void =>
  actual.forEach((share, id) => expect(Math.abs(share - expected[id]!), `token ${id}`).toBeLessThan(0.015))

test('greedy takes the most probable token, the first of equals, and leaves the random state alone', () => {
  const random = new Random(1)
  const { state } = random
  expect(sampleToken(logits, GREEDY, random)).toBe(1)
  expect(sampleToken(Float32Array.of(1, 3, 3), GREEDY, random)).toBe(1)
  expect(random.state).toEqual(state)
})

test('without limits tokens come as often as their probabilities say', () => close(shares({}), [0.05, 0.6, 0.05, 0.3]))

test('temperature one half squares the probabilities', () => {
  const squares = [0.0025, 0.36, 0.0025, 0.09]
  const expected = squares.map((square) => square / 0.455)
  close(shares({ temperature: 0.5 }), expected)
})

test('top-k keeps the k most probable, equal ones by id', () => {
  close(shares({ topK: 2 }), [0, 2 / 3, 0, 1 / 3])
  close(shares({ topK: 3 }), [0.05 / 0.95, 0.6 / 0.95, 0, 0.3 / 0.95])
})

test('top-p keeps the fewest tokens that reach it, and never none', () => {
  close(shares({ topP: 0.5 }), [0, 1, 0, 0])
  close(shares({ topP: 0.61 }), [0, 2 / 3, 0, 1 / 3])
  close(shares({ topP: 0 }), [0, 1, 0, 0])
})

test('huge logits do not overflow', () => {
  expect(sampleToken(Float32Array.of(3e38, -3e38, 0), { temperature: 1, topK: 0, topP: 1 }, new Random(3))).toBe(0)
})

test('the same seed gives the same tokens', () => expect(shares({}, 50)).toEqual(shares({}, 50)))
