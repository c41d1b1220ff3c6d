// Time left, held against synthetic races whose true duration is known.
import { expect, test } from 'vitest'
import { Random } from '../../src/engine/random'
import { Accounts } from '../../src/engine/training/accounts'
import { etaSeconds, type RunOutlook } from '../../src/engine/training/eta'

interface Trace {
  steps: number
  evaluateEvery: number
  /** Typical milliseconds and frequency of each batch shape. */
  shapes: { milliseconds: number; share: number }[]
  compile: number
  validation: number
  closing: number
}

/** Plays two runs in turn, and at every step after the first tenth compares the estimate with what was still to come. */
function worstError(traces: Trace[], seed: number): number {
  const random = new Random(seed)
  const runs = traces.map((trace) => ({ trace, accounts: new Accounts(), done: 0, seen: new Set<number>() }))
  const moments: { at: number; estimate: number }[] = []
  const total = traces.reduce((sum, trace) => sum + trace.steps, 0)
  let now = 0
  for (let turn = 0; turn < total; turn++) {
    const run = runs[turn % runs.length]!
    let draw = random.uniform()
    const shape = Math.max(
      0,
      run.trace.shapes.findIndex(({ share }) => (draw -= share) < 0)
    )
    const noisy = run.trace.shapes[shape]!.milliseconds * (0.9 + 0.2 * random.uniform())
    const milliseconds = noisy + (run.seen.has(shape) ? 0 : run.trace.compile)
    run.seen.add(shape)
    run.accounts.addStep(String(shape), 100 * (shape + 1), 100, milliseconds)
    run.done++
    now += milliseconds
    if (run.done % run.trace.evaluateEvery === 0 || run.done === run.trace.steps) now += run.trace.validation
    const outlooks = runs.map(({ trace, accounts, done }): RunOutlook => ({
      stepMilliseconds: accounts.typicalMilliseconds,
      stepsDone: done,
      left: { kind: 'steps', steps: trace.steps - done },
      evaluateEvery: trace.evaluateEvery,
      validationMilliseconds: trace.validation,
      closingMilliseconds: trace.closing
    }))
    if (turn >= total / 10) moments.push({ at: now, estimate: etaSeconds(outlooks)! })
  }
  const end = now + traces.reduce((sum, trace) => sum + trace.closing, 0)
  return Math.max(...moments.map(({ at, estimate }) => Math.abs(estimate * 1000 - (end - at)) / (end - at)))
}

test.each([1, 2, 3])('is right within a fifth after the first tenth (seed %i)', (seed) => {
  const softPrompt: Trace = {
    steps: 100,
    evaluateEvery: 10,
    shapes: [
      { milliseconds: 300, share: 0.7 },
      { milliseconds: 420, share: 0.3 }
    ],
    compile: 1200,
    validation: 900,
    closing: 5000
  }
  expect(
    worstError(
      [softPrompt, { ...softPrompt, shapes: softPrompt.shapes.map((shape) => ({ ...shape, milliseconds: 2.5 * shape.milliseconds })) }],
      seed
    )
  ).toBeLessThan(0.2)
})

test('one run of one shape is exact', () => {
  const run: RunOutlook = {
    stepMilliseconds: 200,
    stepsDone: 10,
    left: { kind: 'steps', steps: 95 },
    evaluateEvery: 10,
    validationMilliseconds: 1000,
    closingMilliseconds: 4000
  }
  expect(etaSeconds([run])).toBeCloseTo(95 * 0.2 + 10 * 1 + 4, 10)
})

test('a budget of seconds leaves those seconds, its validations and the closing evaluation', () => {
  const run: RunOutlook = {
    stepMilliseconds: 500,
    stepsDone: 40,
    left: { kind: 'seconds', seconds: 30 },
    evaluateEvery: 20,
    validationMilliseconds: 2000,
    closingMilliseconds: 3000
  }
  expect(etaSeconds([run])).toBeCloseTo(30 + 3 * 2 + 3, 10)
})

test('a stopped run only has its closing evaluation left', () => {
  const stopped = { stepMilliseconds: 500, stepsDone: 40, evaluateEvery: 20, validationMilliseconds: 2000, closingMilliseconds: 3000 }
  expect(etaSeconds([{ ...stopped, left: { kind: 'steps', steps: 0 } }])).toBe(3)
})

test('says nothing before a run was measured', () => {
  const unknown = { stepMilliseconds: undefined, stepsDone: 0, evaluateEvery: 20, validationMilliseconds: 2000, closingMilliseconds: 3000 }
  expect(etaSeconds([{ ...unknown, left: { kind: 'steps', steps: 10 } }])).toBeUndefined()
})
