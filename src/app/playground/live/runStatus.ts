// What a run is doing, or why it stopped, in a few words.
import type { RacePhase } from '../../../worker/protocol'
import type { RunState } from '../../../state/raceFold'

const STOPPED = {
  budget: 'best at',
  patience: 'early, best at',
  stopped: 'stopped, best at',
  diverged: 'diverged, best at'
} as const

export function runStatus(run: RunState, phase: RacePhase): string {
  if (run.place === 0) return run.untrained || run.result ? 'nothing to train' : 'waiting'
  if (run.stopped) {
    return `${STOPPED[run.stopped.reason]} ${run.stopped.bestStep}`
  }
  if (phase === 'paused') return 'paused'
  if (run.step === 0) return phase === 'failed' ? 'not started' : 'waiting'
  // The first step of a shape is compiling, which is not charged.
  return !run.milliseconds ? 'tuning' : `${duration(run.milliseconds)} a step`
}

function duration(milliseconds: number): string {
  return milliseconds < 1000 ? `${milliseconds.toFixed(0)} ms` : `${(milliseconds / 1000).toFixed(1)} s`
}
