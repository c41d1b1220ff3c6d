// What a run is doing, or why it stopped, in a few words.
import type { RacePhase } from '../../../worker/protocol'
import type { RunState } from '../../../state/raceFold'

const STOPPED = {
  budget: 'done',
  patience: 'stopped early',
  stopped: 'stopped by you',
  diverged: 'diverged'
} as const

export function runStatus(run: RunState, phase: RacePhase): string {
  if (run.place === 0) return run.untrained || run.result ? 'nothing to train' : 'waiting'
  if (run.stopped) {
    const reason = STOPPED[run.stopped.reason]
    return run.stopped.bestStep > 0 ? `${reason}, best at ${run.stopped.bestStep}` : reason
  }
  if (phase === 'paused') return 'paused'
  if (run.step === 0) return phase === 'failed' ? 'not started' : 'waiting'
  return run.milliseconds === undefined ? 'tuning' : `${duration(run.milliseconds)} a step`
}

function duration(milliseconds: number): string {
  return milliseconds < 1000 ? `${milliseconds.toFixed(0)} ms` : `${(milliseconds / 1000).toFixed(1)} s`
}
