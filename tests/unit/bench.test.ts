// The benchmark's arithmetic: growth exponents, and what its report says of a result.
import { describe as suite, expect, it } from 'vitest'
import { growthExponent } from '../../bench/measure.mjs'
import { describe } from '../../bench/report.mjs'
import type { Result } from '../../bench/types'

suite('growthExponent', () => {
  it('finds the power by which time grows, whatever the constant', () => {
    const points = [16, 32, 64, 128].map((size): [number, number] => [size, 3.7 * size ** 1.5])
    expect(growthExponent(points)).toBeCloseTo(1.5, 10)
  })

  it('is 0 where time does not grow', () => {
    expect(
      growthExponent([
        [1, 5],
        [10, 5]
      ])
    ).toBe(0)
  })
})

suite('the report', () => {
  const result: Result = {
    adapter: 'some adapter',
    host: 'Chromium 1',
    measuredAt: '2026-01-02T03:04:05.000Z',
    cores: 2,
    load: 0.5,
    rounds: 5,
    ratios: { composed: 12.34, jaxjs: null, nanogpt: 40, frozenToFull: 0.4321 },
    jsMillisecondsPerStep: 0.256,
    peakToResident: 1.38,
    dispatches: { full: 172, softPrompt: 120 },
    steps: [{ name: 'toy', milliseconds: 500, jsMilliseconds: 0.256, tokensPerSecond: 512, loss: 8, dispatches: 172, peakBytes: 50e6 }],
    programs: [
      { program: 'product', milliseconds: 30, dispatches: 2 },
      { program: 'attention', milliseconds: 10, dispatches: 1 }
    ],
    matmul: [{ mode: 'NT', rows: 2, columns: 3, depth: 4, tiles: { small: 2, large: 4 }, chosen: 'small' }],
    scaling: {
      batch: {
        name: 'rows of a batch',
        exponent: 1.054,
        points: [
          [2, 10],
          [4, 21]
        ]
      }
    }
  }

  it('names the adapter, the ratios and what was not measured', () => {
    const text = describe(result)
    expect(text).toContain('### some adapter (Chromium 1)')
    expect(text).toContain('composed TensorFlow.js 12.3 times, jax-js an unknown number of times and nanogpt 40.0 times')
    expect(text).toContain('rows of a batch to the power 1.05 (2, 4)')
  })

  it('gives shares of the whole: the chosen tile of the best one, a program of the step', () => {
    const text = describe(result)
    expect(text).toMatch(/NT 2 x 3 x 4 .*50 %/)
    expect(text).toMatch(/product .*75 %/)
  })
})
