// How many label rows have their logits at a time: within the bytes that are allowed, in parts of like size that can be bound by themselves.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { rowsOfPart, trainingLogitsBytes } from '../../src/engine/kernels/labelParts'

test('parts begin at a multiple of 256 bytes, and exceed what is allowed by no more than that takes', () => {
  const sizes = fc.record({
    rows: fc.integer({ min: 1, max: 5000 }),
    vocabulary: fc.integer({ min: 2, max: 60_000 }),
    hidden: fc.integer({ min: 1, max: 1024 }),
    bytes: fc.integer({ min: 1, max: 2 ** 26 })
  })
  fc.assert(
    fc.property(sizes, ({ rows, vocabulary, hidden, bytes }) => {
      const part = rowsOfPart(rows, vocabulary, hidden, bytes)
      expect(part).toBeGreaterThan(0)
      expect(part).toBeLessThanOrEqual(rows)
      if (part === rows) return
      expect((part * hidden * 4) % 256).toBe(0)
      expect(part - 64).toBeLessThan(Math.max(1, bytes / (4 * vocabulary)))
    })
  )
})

test.each([
  { name: 'few labels go at once', rows: 16, vocabulary: 8192, hidden: 128, part: 16 },
  { name: 'four parts of 52 rows, not three of 64 and one of 16', rows: 208, vocabulary: 4096, hidden: 128, part: 52 },
  { name: 'an odd width needs 64 rows to begin where it may', rows: 300, vocabulary: 50_257, hidden: 33, part: 64 },
  { name: 'of a large vocabulary 64 MiB, which are 333 rows', rows: 1000, vocabulary: 50_257, hidden: 768, part: 250 }
])('$name', ({ rows, vocabulary, hidden, part }) => {
  expect(rowsOfPart(rows, vocabulary, hidden, trainingLogitsBytes(vocabulary, hidden))).toBe(part)
})
