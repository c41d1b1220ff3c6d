// The learning rate over a run, as a factor of its highest value.
import type { Recipe } from './recipe'

/**
 * Factor in [0, 1] of the learning rate for one update: the lower of a linear warm-up and the schedule's decay, so that the curve has no jump
 * where one passes into the other.
 * @param step updates already made: 0 for the first
 * @param progress share of the budget that is used up, in [0, 1]: steps of steps, or charged seconds of seconds
 */
export function learningRateFactor(schedule: Recipe['schedule'], step: number, progress: number): number {
  const warmup = step < schedule.warmupSteps ? (step + 1) / schedule.warmupSteps : 1
  return Math.min(warmup, decay(schedule.kind, Math.min(1, Math.max(0, progress))))
}

function decay(kind: Recipe['schedule']['kind'], progress: number): number {
  switch (kind) {
    case 'constant':
      return 1
    case 'linear':
      return 1 - progress
    case 'cosine':
      return (1 + Math.cos(Math.PI * progress)) / 2
  }
}
