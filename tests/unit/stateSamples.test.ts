import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decimate, Samples, Smoother } from '../../src/state/samples'

describe('Samples', () => {
  it('keeps every point beyond its first capacity', () => {
    const samples = new Samples()
    for (let i = 0; i < 1000; i++) samples.push(i, i * i)
    expect(samples.length).toBe(1000)
    expect(samples.x[999]).toBe(999)
    expect([...samples.y.slice(0, 4)]).toEqual([0, 1, 4, 9])
    expect(samples.last).toBe(998001)
  })
})

describe('decimate', () => {
  it('gives short curves back whole', () => {
    expect(decimate([1, 2, 3], [5, 6, 7], 3)).toEqual({ x: [1, 2, 3], y: [5, 6, 7] })
  })

  it('keeps a single spike of ten thousand points, and stays below the limit', () => {
    const x = Float64Array.from({ length: 10_000 }, (_, i) => i)
    const y = new Float64Array(10_000)
    y[6789] = 42
    const points = decimate(x, y, 1200)
    expect(points.x.length).toBeLessThanOrEqual(1200)
    expect(points.y[points.x.indexOf(6789)]).toBe(42)
  })

  it('keeps the first and last point, the extremes, and the order of x, for any curve', () => {
    const curve = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 400 })
    fc.assert(
      fc.property(curve, fc.integer({ min: 4, max: 50 }), (y, limit) => {
        const x = y.map((_, i) => i)
        const points = decimate(x, y, limit)
        expect(points.x[0]).toBe(0)
        expect(points.x.at(-1)).toBe(y.length - 1)
        expect(Math.min(...points.y)).toBe(Math.min(...y))
        expect(Math.max(...points.y)).toBe(Math.max(...y))
        expect(points.x).toEqual([...points.x].sort((a, b) => a - b))
        expect(points.x.length).toBeLessThanOrEqual(Math.max(limit, 4))
      })
    )
  })
})

describe('Smoother', () => {
  it('begins at the first value and stays on a constant', () => {
    const smoother = new Smoother(8)
    expect([3, 3, 3].map((value) => smoother.next(value))).toEqual([3, 3, 3].map((value) => expect.closeTo(value, 12) as number))
  })

  it('changes nothing over a window of one', () => {
    const smoother = new Smoother(1)
    expect([1, 5, 2].map((value) => smoother.next(value))).toEqual([1, 5, 2])
  })

  it('weighs the second value by the bias correction', () => {
    const smoother = new Smoother(4)
    smoother.next(0)
    // Weights 0.75 * 0.25 and 0.25, of their sum 0.4375.
    expect(smoother.next(1)).toBeCloseTo(0.25 / 0.4375, 12)
  })
})
