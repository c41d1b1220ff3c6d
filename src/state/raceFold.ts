// What the page knows of a race, and how each event from the worker changes it: a pure fold, apart from curves that grow in place.
import type { Cost, Curve, RunResult, StopReason, ValidationRecord } from '../engine/training/records'
import type { RaceEvent, RacePhase, RaceRequest, RunRequest } from '../worker/protocol'
import { taskKind } from './catalogue'
import { Samples, Smoother } from './samples'
import { BASELINE } from './setup'

/** The training loss is smoothed over about a twenty-fifth of the race, and over no more steps than these, so that it does not lag behind. */
const MAXIMUM_SMOOTHING_STEPS = 10
const SMOOTHING_SHARE = 1 / 25

/** A run's curves; the same objects for the whole race, so that a step costs a push and not a copy. */
export class RunCurves {
  readonly loss = new Samples()
  readonly smoothLoss = new Samples()
  readonly validationLoss = new Samples()
  readonly validationAccuracy = new Samples()
  /** Charged seconds by step: y of this at x = step. */
  readonly seconds = new Samples()
  readonly validationSeconds = new Samples()
  readonly #smoother: Smoother

  constructor(smoothingSteps: number) {
    this.#smoother = new Smoother(smoothingSteps)
  }

  pushStep(step: number, loss: number, milliseconds: number): void {
    this.loss.push(step, loss)
    this.smoothLoss.push(step, this.#smoother.next(loss))
    this.seconds.push(step, (this.seconds.last ?? 0) + milliseconds / 1000)
  }

  pushValidation(record: ValidationRecord): void {
    this.validationLoss.push(record.step, record.loss)
    if (record.accuracy !== undefined) this.validationAccuracy.push(record.step, record.accuracy)
    this.validationSeconds.push(record.step, record.seconds)
  }
}

export interface RunState {
  id: string
  name: string
  /** The methods of its recipe, joined; rows of the registry. */
  methods: string[]
  /** Place in the race: 0 is the hand-written prompt; decides the colour. */
  place: number
  curves: RunCurves
  step: number
  loss?: number
  milliseconds?: number
  untrained?: { accuracy?: number | undefined; validationLoss: number }
  validation?: ValidationRecord
  cost?: Pick<Cost, 'trainableParameters' | 'adapterBytes' | 'peakBytes'>
  stopped?: { reason: StopReason; bestStep: number }
  savedStep?: number
  /** Bytes that it was expected to need at most, beside the base. */
  estimatedBytes?: number
  result?: RunResult
}

export interface RaceProblem {
  run?: string
  message: string
  advice: string
}

export interface RaceState {
  request: RaceRequest
  phase: RacePhase
  detail: string
  secondsLeft?: number
  /** Bytes on the device: now, at most so far, and as was expected at most. */
  memory?: { bytes?: number; peakBytes?: number; estimatedBytes?: number }
  runs: RunState[]
  problems: RaceProblem[]
}

/** A race before its first event; with `curves`, as far as its stored runs had come. */
export function initialRace(
  request: RaceRequest,
  stored: ReadonlyMap<string, { curve: Curve; result?: RunResult }> = new Map()
): RaceState {
  const tuned = request.runs.filter((run) => !isBaseline(run))
  const runs = request.runs.map((run): RunState => {
    const state: RunState = {
      id: run.id,
      name: run.name,
      methods: run.recipe.parts.map((part) => part.method),
      place: tuned.indexOf(run) + 1,
      curves: new RunCurves(smoothingSteps(request)),
      step: 0
    }
    const kept = stored.get(run.id)
    if (!kept) return state
    return kept.curve.steps.reduce((next, record) => withStep(next, record), withKept(state, kept.curve, kept.result))
  })
  return { request, phase: 'preparing', detail: '', runs, problems: [] }
}

const isBaseline = (run: RunRequest) => run.recipe.parts.every((part) => part.method === BASELINE)

function smoothingSteps({ settings: { budget } }: RaceRequest): number {
  const steps = budget.kind === 'steps' ? budget.steps * SMOOTHING_SHARE : MAXIMUM_SMOOTHING_STEPS
  return Math.min(MAXIMUM_SMOOTHING_STEPS, Math.max(1, steps))
}

function withKept(run: RunState, curve: Curve, result: RunResult | undefined): RunState {
  for (const record of curve.validation) run.curves.pushValidation(record)
  const validation = curve.validation.at(-1)
  return { ...run, ...(validation && { validation }), ...(result && { result, cost: result.cost, stopped: stoppedOf(result) }) }
}

const stoppedOf = (result: RunResult) => ({ reason: result.stopReason, bestStep: result.bestStep })

function withStep(run: RunState, record: { step: number; loss: number; milliseconds: number }): RunState {
  // After a reload a race goes on from its last checkpoint: steps already drawn come again, with the same losses.
  if (record.step > run.step) run.curves.pushStep(record.step, record.loss, record.milliseconds)
  return { ...run, step: Math.max(run.step, record.step), loss: record.loss, milliseconds: record.milliseconds }
}

function withValidation(run: RunState, record: ValidationRecord): RunState {
  const drawn = run.curves.validationLoss.x
  if (record.step > (drawn.at(-1) ?? -1)) run.curves.pushValidation(record)
  return { ...run, validation: record }
}

/** The state after some events, in order. Only runs that an event names become new objects. */
export function foldEvents(race: RaceState, events: readonly RaceEvent[]): RaceState {
  let next = race
  for (const event of events) next = foldEvent(next, event)
  return next
}

function foldEvent(race: RaceState, event: RaceEvent): RaceState {
  const withRun = (id: string, change: (run: RunState) => RunState): RaceState => ({
    ...race,
    runs: race.runs.map((run) => (run.id === id ? change(run) : run))
  })
  switch (event.type) {
    case 'phase':
      return { ...race, phase: event.phase, detail: event.detail }
    case 'untrained':
      return withRun(event.run, (run) => ({ ...run, untrained: { accuracy: event.accuracy, validationLoss: event.validationLoss } }))
    case 'step':
      return withRun(event.run, (run) => withStep(run, event.record))
    case 'validation':
      return withRun(event.run, (run) => withValidation(run, event.record))
    case 'cost': {
      const { trainableParameters, adapterBytes, peakBytes } = event
      return withRun(event.run, (run) => ({ ...run, cost: { trainableParameters, adapterBytes, peakBytes } }))
    }
    case 'run-stopped': {
      const next = withRun(event.run, (run) => ({ ...run, stopped: { reason: event.reason, bestStep: event.bestStep } }))
      // The last estimate was for a race that goes on.
      return event.reason === 'stopped' ? { ...next, secondsLeft: undefined } : next
    }
    case 'result':
      return withRun(event.run, (run) => ({ ...run, result: event.result, cost: event.result.cost, stopped: stoppedOf(event.result) }))
    case 'checkpoint':
      return withRun(event.run, (run) => ({ ...run, savedStep: event.step }))
    case 'estimate':
      return {
        ...race,
        memory: { ...race.memory, estimatedBytes: event.raceBytes },
        runs: race.runs.map((run) => ({ ...run, estimatedBytes: event.runs[run.id] }))
      }
    case 'memory':
      return { ...race, memory: { ...race.memory, bytes: event.bytes, peakBytes: event.peakBytes } }
    case 'time-left':
      return { ...race, secondsLeft: event.seconds }
    case 'problem': {
      const { message, advice } = event
      const problem = event.run === undefined ? { message, advice } : { run: event.run, message, advice }
      // A full disk is told at every checkpoint; once is enough.
      const isKnown = race.problems.some((known) => known.run === problem.run && known.message === message)
      return isKnown ? race : { ...race, problems: [...race.problems, problem] }
    }
  }
}

/** The part of a race's bar that stands for the closing evaluation. */
const CLOSING_SHARE = 0.15

/** How much of the race is done, 0 to 1: the training of each run by its own budget, and then the results that are in. */
export function progressOf(race: RaceState): number {
  const results = race.runs.filter((run) => run.result).length / race.runs.length
  return (1 - CLOSING_SHARE) * trainingProgress(race) + CLOSING_SHARE * results
}

function trainingProgress(race: RaceState): number {
  const { budget } = race.request.settings
  const tuned = race.runs.filter((run) => run.place > 0)
  if (tuned.length === 0) return 1
  const shares = tuned.map((run) => {
    if (run.stopped) return 1
    const done = budget.kind === 'steps' ? run.step / budget.steps : (run.curves.seconds.last ?? 0) / budget.seconds
    return Math.min(1, done)
  })
  return shares.reduce((sum, share) => sum + share, 0) / shares.length
}

/** What its runs do: name labels or write answers. */
export const raceKind = (race: RaceState): RunResult['kind'] =>
  race.runs.find(({ result }) => result)?.result?.kind ?? taskKind(race.request.task)

/** Whether the race is over, so that its settings may change and a new one start. */
export const isOver = (phase: RacePhase): boolean => phase === 'finished' || phase === 'failed'
