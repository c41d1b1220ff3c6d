// Masks of dropout: how many numbers they hide, what they keep, and when they are the same.
import { expect, test } from 'vitest'
import { dropoutMask } from '../../src/engine/methods/dropout'

test.each([0.05, 0.5, 0.9])('at a rate of %d hides that share and keeps the expected value', (rate) => {
  const mask = dropoutMask(100_001, rate, 7, 'q_proj')
  const hidden = mask.filter((value) => value === 0).length / mask.length
  // Five standard errors of a share.
  expect(Math.abs(hidden - rate)).toBeLessThan(5 * Math.sqrt((rate * (1 - rate)) / mask.length))
  expect(new Set(mask)).toEqual(new Set([0, Math.fround(1 / (1 - rate))]))
})

test('a mask repeats by seed and place, and differs between steps and places', () => {
  const mask = dropoutMask(64, 0.5, 7, 'q_proj')
  expect(dropoutMask(64, 0.5, 7, 'q_proj')).toEqual(mask)
  expect(dropoutMask(64, 0.5, 8, 'q_proj')).not.toEqual(mask)
  expect(dropoutMask(64, 0.5, 7, 'v_proj')).not.toEqual(mask)
})

test('neighbours do not hide together', () => {
  const mask = dropoutMask(40_000, 0.5, 3, 'up')
  const both = Array.from({ length: 20_000 }, (_, i) => mask[2 * i] === 0 && mask[2 * i + 1] === 0).filter(Boolean).length / 20_000
  expect(Math.abs(both - 0.25)).toBeLessThan(0.016)
})
