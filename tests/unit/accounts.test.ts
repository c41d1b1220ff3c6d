// What a run is charged: compilation apart, and the charge mended once the typical time of a shape is known.
import { expect, test } from 'vitest'
import { Accounts } from '../../src/engine/training/accounts'

test('the first step of a shape is charged the median of its later ones, the rest is compilation', () => {
  const accounts = new Accounts()
  expect(accounts.addStep('64', 1024, 900, 5000)).toBe(0)
  expect(accounts.state).toMatchObject({ trainMilliseconds: 0, compileMilliseconds: 5000, tokens: 900 })
  accounts.addStep('64', 1024, 900, 100)
  expect(accounts.state).toMatchObject({ trainMilliseconds: 200, compileMilliseconds: 4900 })
  accounts.addStep('64', 1024, 900, 140)
  accounts.addStep('64', 1024, 900, 130)
  expect(accounts.state).toMatchObject({ trainMilliseconds: 100 + 140 + 130 + 130, compileMilliseconds: 4870, tokens: 3600 })
  expect(accounts.seconds).toBe(0.5)
})

test('a new shape is charged by its padded tokens until it comes again', () => {
  const accounts = new Accounts()
  accounts.addStep('64', 1000, 800, 3000)
  accounts.addStep('64', 1000, 800, 100)
  expect(accounts.addStep('128', 2000, 1600, 2500)).toBe(200)
  expect(accounts.state.trainMilliseconds).toBe(400)
  accounts.addStep('128', 2000, 1600, 260)
  expect(accounts.state.trainMilliseconds).toBe(100 + 100 + 260 + 260)
  expect(accounts.state.compileMilliseconds).toBe(2900 + 2240)
})

test('a first step that was no slower than the later ones is charged what it took', () => {
  const accounts = new Accounts()
  accounts.addStep('64', 1000, 800, 90)
  accounts.addStep('64', 1000, 800, 110)
  expect(accounts.state).toMatchObject({ trainMilliseconds: 200, compileMilliseconds: 0 })
})

test('measured time is either charged or compilation, never lost', () => {
  const accounts = new Accounts()
  let total = 0
  for (let i = 0; i < 300; i++) {
    const milliseconds = 50 + ((i * 37) % 23) + (i < 3 ? 1000 : 0)
    total += milliseconds
    accounts.addStep(String(i % 3), 1000 + (i % 3), 1000, milliseconds)
  }
  const { trainMilliseconds, compileMilliseconds } = accounts.state
  expect(trainMilliseconds + compileMilliseconds).toBeCloseTo(total, 6)
})

test('restored accounts go on from their charges and meet every shape anew', () => {
  const before = new Accounts()
  before.addStep('64', 1000, 800, 900)
  before.addStep('64', 1000, 800, 100)
  before.addEvaluation(50)
  before.notePeak(4096)
  const after = new Accounts(before.state)
  after.addStep('64', 1000, 800, 700)
  after.addStep('64', 1000, 800, 120)
  after.notePeak(1024)
  expect(after.state).toEqual({
    trainMilliseconds: 200 + 240,
    compileMilliseconds: 800 + 580,
    evaluationMilliseconds: 50,
    tokens: 3200,
    peakBytes: 4096
  })
})

test('the typical step is the mean over shapes by how often they come, compilation left out', () => {
  const accounts = new Accounts()
  expect(accounts.typicalMilliseconds).toBeUndefined()
  for (const milliseconds of [5000, 100, 100]) accounts.addStep('64', 1000, 800, milliseconds)
  for (const milliseconds of [6000, 200, 200, 200, 200, 200]) accounts.addStep('128', 2000, 800, milliseconds)
  expect(accounts.typicalMilliseconds).toBeCloseTo((3 * 100 + 6 * 200) / 9, 10)
})
