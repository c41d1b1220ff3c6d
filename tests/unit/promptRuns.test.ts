import { describe, expect, it } from 'vitest'
import { frameOf, labelled } from '../../src/app/meaning/plane'
import { ensembleOf, MAXIMUM_PEERS, peersOf, runTitle, visibleToken } from '../../src/state/promptRuns'
import type { LibraryEntry } from '../../src/storage/library'

const entry = (id: string, changes: Partial<LibraryEntry> = {}): LibraryEntry =>
  ({ id, name: id, model: 'm', task: 'reviews', methods: ['softPrompt'], createdAt: 0, ...changes }) as LibraryEntry

describe('runs beside a run', () => {
  it('are those of its model, with it among them however many there are, sorted by task', () => {
    const many = Array.from({ length: 20 }, (_, i) => entry(`run ${i}`, { task: i % 2 ? 'reviews' : 'headlines' }))
    const run = entry('mine', { task: 'support' })
    const peers = peersOf([...many, entry('other', { model: 'n' }), run], run)
    expect(peers).toHaveLength(MAXIMUM_PEERS)
    expect(peers.at(-1)).toBe(run)
    expect(peers.some(({ id }) => id === 'other')).toBe(false)
    expect(peers.map(({ task }) => task)).toEqual([...peers.map(({ task }) => task)].sort())
  })

  it('are asked together where they tune one task and nothing but a prompt', () => {
    const run = entry('a')
    const runs = [entry('b', { methods: ['pTuning'] }), entry('c', { task: 'other' }), entry('d', { methods: ['softPrompt', 'lora'] }), run]
    expect(ensembleOf(runs, run).map(({ id }) => id)).toEqual(['a', 'b'])
    expect(ensembleOf(runs, runs[2]!)).toEqual([])
  })

  it('are told apart by name, task and accuracy', () => {
    expect(runTitle(entry('Soft prompt'))).toBe('Soft prompt, reviews')
    expect(runTitle(entry('Soft prompt', { summary: { testAccuracy: 0.6133 } as LibraryEntry['summary'] }))).toBe(
      'Soft prompt, reviews, 0.613'
    )
  })
})

it('tokens are written so that spaces and line breaks are seen', () => {
  expect([' good', 'good', '\n', ''].map(visibleToken)).toEqual(['␣good', 'good', '⏎', '(empty)'])
})

it('a plane keeps distances, puts up on top, and shows labels that have room', () => {
  const frame = frameOf(
    [
      [0, 0],
      [10, 5]
    ],
    248,
    148
  )
  expect([frame([0, 0]), frame([10, 5])]).toEqual([
    [24, 124],
    [224, 24]
  ])
  const words = labelled(
    [
      { text: 'one', place: [0, 0] },
      { text: 'over it', place: [0.1, 0.1] },
      { text: 'far', place: [9, 4] }
    ],
    frame
  )
  expect(words.map(({ shown }) => shown)).toEqual([true, false, true])
})
