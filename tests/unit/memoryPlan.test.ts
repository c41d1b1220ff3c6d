// Places of a step's tensors in shared buffers: never two in one place at one time, none written and read by a command in one buffer, and little more than must be.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Random } from '../../src/engine/random'
import { planMemory, type Need } from '../../src/engine/kernels/webgpu/memoryPlan'

const ALIGNMENT = 256

const needs = fc.array(
  fc
    .record({
      size: fc.integer({ min: 1, max: 5000 }).map((size) => 4 * size),
      commands: fc.uniqueArray(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 5 }).map((all) => all.sort((a, b) => a - b)),
      later: fc.integer({ min: 1, max: 5 })
    })
    .map(({ later, ...need }): Need => ({ ...need, writers: need.commands.filter((_, at) => at % later === 0) })),
  { maxLength: 60 }
)

const meet = (a: Need, b: Need): boolean => a.commands[0]! <= b.commands.at(-1)! && b.commands[0]! <= a.commands.at(-1)!

test('two tensors that meet share no byte, and what a command writes no buffer with what it reads', () => {
  fc.assert(
    fc.property(needs, fc.array(fc.integer({ min: 1, max: 8000 }), { maxLength: 4 }), (all, present) => {
      const { places, sizes } = planMemory(all, present, ALIGNMENT)
      expect(sizes.slice(0, present.length)).toEqual(present)
      all.forEach((a, i) => {
        const own = places[i]!
        expect(own.offset % ALIGNMENT).toBe(0)
        expect(own.offset + a.size).toBeLessThanOrEqual(sizes[own.buffer]!)
        all.slice(0, i).forEach((b, j) => {
          const other = places[j]!
          if (own.buffer !== other.buffer || !meet(a, b)) return
          const both = a.commands.filter((command) => b.commands.includes(command))
          for (const command of both) expect(a.writers.includes(command)).toBe(b.writers.includes(command))
          expect(own.offset >= other.offset + b.size || other.offset >= own.offset + a.size).toBe(true)
        })
      })
    })
  )
})

/** Written by its first command and read by the others. */
const need = (size: number, ...commands: number[]): Need => ({ size, commands, writers: commands.slice(0, 1) })

test('small tensors share a large buffer that is free, and those of a chain need two', () => {
  const early = need(4096, 0, 1)
  const later = [2, 3, 4].map((at) => need(1024, at, at + 10))
  expect(planMemory([...later, early], [], ALIGNMENT).sizes).toEqual([4096])
  const chain = Array.from({ length: 9 }, (_, at) => need(1000, at, at + 1))
  expect(planMemory(chain, [], ALIGNMENT).sizes).toEqual([1000, 1000])
  expect(planMemory(chain, [1000, 1000, 4000], ALIGNMENT).sizes).toHaveLength(3)
})

test('what one command only reads may lie in one buffer, which grows as far as a buffer may', () => {
  const all = [need(3000, 0, 2), need(2048, 3, 5), need(1536, 4, 5)]
  expect(planMemory(all, [], ALIGNMENT).sizes).toEqual([2048 + 1536])
  expect(planMemory(all, [], ALIGNMENT, 3500).sizes).toEqual([3000, 1536])
})

test('moving needs within the order finds places that the largest first does not', () => {
  const random = new Random(29)
  const needs = Array.from({ length: 12 }, () => {
    const first = random.next() % 9
    return need(256 * (1 + (random.next() % 9)), first, first + 1, first + 2 + (random.next() % 6))
  })
  // In each of the first orders it is 53.
  expect(planMemory(needs, [], ALIGNMENT).sizes.reduce((total, size) => total + size / 256, 0)).toBe(50)
})
