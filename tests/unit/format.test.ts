import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bytes, change, count, fixed, seconds, shortCount, significant } from '../../src/format'

describe('numbers for people', () => {
  it.each([
    [count(1901696), '1,901,696'],
    [count(-0), '0'],
    [count(NaN), '–'],
    [shortCount(812), '812'],
    [shortCount(999.6), '1.00 k'],
    [shortCount(14_321), '14.3 k'],
    [shortCount(1_901_696), '1.90 M'],
    [bytes(0), '0 bytes'],
    [bytes(640), '640 bytes'],
    [bytes(51_200), '51.2 kB'],
    [bytes(999_499), '999 kB'],
    [bytes(999_500), '1.00 MB'],
    [bytes(3_807_448), '3.81 MB'],
    [bytes(5e15), '5,000 TB'],
    [bytes(Infinity), '–'],
    [seconds(0), '0 s'],
    [seconds(0.0004), '0.4 ms'],
    [seconds(0.0421), '42 ms'],
    [seconds(0.0996), '0.1 s'],
    [seconds(4.24), '4.2 s'],
    [seconds(9.96), '10 s'],
    [seconds(59.4), '59 s'],
    [seconds(59.6), '1 min 00 s'],
    [seconds(125), '2 min 05 s'],
    [seconds(3599.6), '1 h 00 min'],
    [seconds(3720), '1 h 02 min'],
    [significant(0.0003), '0.0003'],
    [significant(12.345), '12.3'],
    [significant(1234.5), '1,235'],
    [significant(0), '0'],
    [fixed(0.7336), '0.734'],
    [fixed(-0.0004), '0.000'],
    [fixed(-0.02), '−0.020'],
    [change(0.12), '+0.120'],
    [change(-0.12, 1), '−0.1'],
    [change(0.0004), '0.000'],
    [change(NaN), '–']
  ])('%s', (text, expected) => expect(text).toBe(expected))

  it('keep three digits of any size of file', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1000, max: 2 ** 50 }), (value) => {
        const [number, unit] = bytes(value).split(' ') as [string, string]
        const size = { kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 }[unit]!
        expect(Math.abs(Number(number.replaceAll(',', '')) * size - value) / value).toBeLessThan(0.00501)
        expect(number.replaceAll(/\D/g, '')).toMatch(/^\d{3,4}$/)
      })
    )
  })
})
