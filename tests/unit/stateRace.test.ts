import { describe, expect, it } from 'vitest'
import type { RunResult } from '../../src/engine/training/records'
import { foldEvents, initialRace, isOver, progressOf } from '../../src/state/raceFold'
import type { RaceEvent, RaceRequest, RunRequest } from '../../src/worker/protocol'

function run(id: string, method: string): RunRequest {
  return {
    id,
    name: method,
    recipe: {
      parts: [{ method, options: {}, learningRate: 0.1, weightDecay: 0 }],
      schedule: { kind: 'linear', warmupSteps: 0 },
      optimiser: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, clipNorm: 1 },
      batchSize: 4,
      maximumLength: 64,
      seed: 1
    }
  }
}

const request: RaceRequest = {
  id: 'race',
  name: 'Reviews',
  model: { kind: 'site', path: 'models/tiny' },
  task: { kind: 'site', path: 'tasks/reviews' },
  runs: [run('soft', 'softPrompt'), run('hand', 'handwrittenPrompt'), run('all', 'allWeights')],
  settings: { budget: { kind: 'steps', steps: 4 }, evaluateEvery: 2, patience: 0 }
}

const step = (id: string, number: number, loss: number, milliseconds = 500): RaceEvent => ({
  type: 'step',
  run: id,
  record: { step: number, loss, learningRates: [0.1], gradientNorm: 1, tokens: 10, milliseconds }
})

const validation = (id: string, number: number, loss: number): RaceEvent => ({
  type: 'validation',
  run: id,
  record: { step: number, seconds: number, loss, accuracy: 0.5, f1Macro: 0.4 }
})

const runOf = (state: ReturnType<typeof initialRace>, id: string) => {
  const found = state.runs.find((row) => row.id === id)
  if (!found) throw new Error(`no run ${id}`)
  return found
}

describe('initialRace', () => {
  it('gives the hand-written prompt the place 0 wherever it stands, and the others theirs in order', () => {
    expect(initialRace(request).runs.map((row) => row.place)).toEqual([1, 0, 2])
  })

  it('restores curves and numbers of stored runs', () => {
    const curve = {
      steps: [1, 2].map((number) => ({
        step: number,
        loss: 3 - number,
        learningRates: [0.1],
        gradientNorm: 1,
        tokens: 10,
        milliseconds: 500
      })),
      validation: [{ step: 2, seconds: 1, loss: 0.9, accuracy: 0.6, f1Macro: 0.5 }]
    }
    const soft = runOf(initialRace(request, new Map([['soft', { curve }]])), 'soft')
    expect([...soft.curves.loss.y]).toEqual([2, 1])
    expect([...soft.curves.seconds.y]).toEqual([0.5, 1])
    expect([soft.step, soft.loss, soft.validation?.accuracy]).toEqual([2, 1, 0.6])
  })
})

describe('foldEvents', () => {
  it('draws each step once, also where a race goes on from an earlier checkpoint', () => {
    const events = [step('soft', 1, 3), step('soft', 2, 2), step('soft', 1, 3), step('soft', 2, 2), step('soft', 3, 1)]
    const soft = runOf(foldEvents(initialRace(request), events), 'soft')
    expect([...soft.curves.loss.x]).toEqual([1, 2, 3])
    expect([...soft.curves.loss.y]).toEqual([3, 2, 1])
    expect(soft.step).toBe(3)
  })

  it('draws each validation once', () => {
    const events = [validation('soft', 0, 2), validation('soft', 2, 1), validation('soft', 2, 1)]
    expect([...runOf(foldEvents(initialRace(request), events), 'soft').curves.validationLoss.x]).toEqual([0, 2])
  })

  it('leaves runs that no event names as they are', () => {
    const before = initialRace(request)
    const after = foldEvents(before, [step('soft', 1, 3)])
    expect(runOf(after, 'all')).toBe(runOf(before, 'all'))
    expect(runOf(after, 'soft')).not.toBe(runOf(before, 'soft'))
  })

  it('keeps the estimate until someone stops the race', () => {
    const timed = foldEvents(initialRace(request), [{ type: 'time-left', seconds: 30 }])
    const done = foldEvents(timed, [{ type: 'run-stopped', run: 'soft', reason: 'budget', bestStep: 4 }])
    expect(done.secondsLeft).toBe(30)
    const stopped = foldEvents(done, [{ type: 'run-stopped', run: 'all', reason: 'stopped', bestStep: 2 }])
    expect(stopped.secondsLeft).toBeUndefined()
    expect(runOf(stopped, 'all').stopped).toEqual({ reason: 'stopped', bestStep: 2 })
  })

  it('tells a problem once, however often it comes', () => {
    const full: RaceEvent = { type: 'problem', run: 'all', message: 'The disk is full.', advice: 'Delete runs.' }
    expect(foldEvents(initialRace(request), [full, full, { ...full, run: 'soft' }]).problems).toHaveLength(2)
  })
})

describe('progressOf', () => {
  const result = { cost: {}, stopReason: 'budget', bestStep: 4 } as unknown as RunResult

  it('counts training by the budget of each run, and leaves the rest to the results', () => {
    const half = foldEvents(
      initialRace(request),
      [1, 2].flatMap((number) => [step('soft', number, 1), step('all', number, 1)])
    )
    expect(progressOf(half)).toBeCloseTo(0.85 / 2, 12)
    const early = foldEvents(half, [{ type: 'run-stopped', run: 'soft', reason: 'patience', bestStep: 2 }])
    expect(progressOf(early)).toBeCloseTo(0.85 * 0.75, 12)
  })

  it('is one when all results are in', () => {
    const events: RaceEvent[] = ['hand', 'soft', 'all'].map((id) => ({ type: 'result', run: id, result }))
    expect(progressOf(foldEvents(initialRace(request), events))).toBe(1)
  })

  it('counts charged seconds where the budget is in seconds', () => {
    const timed: RaceRequest = { ...request, settings: { ...request.settings, budget: { kind: 'seconds', seconds: 2 } } }
    const state = foldEvents(initialRace(timed), [step('soft', 1, 1, 500), step('all', 1, 1, 1500)])
    expect(progressOf(state)).toBeCloseTo(0.85 * 0.5, 12)
  })
})

describe('isOver', () => {
  it('is so only at an end', () => {
    const phases = ['preparing', 'running', 'paused', 'evaluating', 'finished', 'failed'] as const
    expect(phases.filter(isOver)).toEqual(['finished', 'failed'])
  })
})
