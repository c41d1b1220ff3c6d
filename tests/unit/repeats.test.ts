import { describe, expect, it } from 'vitest'
import { methodTable } from '../../src/state/methodTable'
import { initialRace, type RunState } from '../../src/state/raceFold'
import { seedGroups, startSentences } from '../../src/state/repeats'
import { defaultSetup, raceRequest } from '../../src/state/setup'

let next = 0
const newId = () => `id-${next++}`
const reviews = { kind: 'site' as const, path: 'tasks/reviews' }

function validations(run: RunState | undefined, losses: number[]): void {
  losses.forEach((loss, i) => run?.curves.pushValidation({ step: 10 * (i + 1), seconds: i, loss, accuracy: 0.5, f1Macro: 0.5 }))
}

describe('startSentences', () => {
  const request = raceRequest({ ...defaultSetup, againstRandom: true }, {}, methodTable, reviews, newId)
  const race = initialRace(request)
  validations(race.runs[1], [1, 0.8, 0.6])
  validations(race.runs[2], [1.2, 1, 0.7])

  it('tell the steps to the lowest loss that random numbers reach', () => {
    expect(race.runs).toHaveLength(4)
    expect(startSentences(race.runs, request.runs)).toEqual([
      {
        name: 'Soft prompt',
        text: 'Soft prompt reached a validation loss of 0.70 after 25 steps; from random numbers, after 30 steps.',
        place: 1
      }
    ])
  })

  it('say nothing where there is no run from random numbers', () => {
    const alone = raceRequest(defaultSetup, {}, methodTable, reviews, newId)
    const state = initialRace(alone)
    validations(state.runs[1], [1])
    expect(startSentences(state.runs, alone.runs)).toEqual([])
  })
})

describe('seedGroups', () => {
  it('hold the runs of one recipe together and others apart', () => {
    const request = raceRequest({ ...defaultSetup, seeds: 2 }, {}, methodTable, reviews, newId)
    const names = seedGroups(initialRace(request).runs, request.runs).map((group) => group.map(({ name }) => name))
    expect(names).toEqual([
      ['Hand-written prompt'],
      ['Soft prompt (seed 1)', 'Soft prompt (seed 2)'],
      ['All weights (seed 1)', 'All weights (seed 2)']
    ])
  })
})
