// The learning rate over a run or a stage of it, as a factor of its highest value, and when a stage is.
import type { Recipe, Window } from './recipe'

/**
 * Factor in [0, 1] of the learning rate for one update: the lower of a linear warm-up and the schedule's decay, so that the curve has no jump
 * where one passes into the other.
 * @param step updates already made of this part of the recipe: 0 for the first
 * @param progress share that is used up of the budget, or of the part's window of it, in [0, 1]: steps of steps, or charged seconds of seconds
 */
export function learningRateFactor(schedule: Recipe['schedule'], step: number, progress: number): number {
  const warmup = step < schedule.warmupSteps ? (step + 1) / schedule.warmupSteps : 1
  return Math.min(warmup, decay(schedule.kind, Math.min(1, Math.max(0, progress))))
}

const WHOLE: Window = { from: 0, to: 1 }

/** Whether a part with this window is trained where that share of the budget is used up. */
export const isWithin = ({ from, to }: Window = WHOLE, progress: number): boolean => progress >= from && progress < to

/** Share of the window that is used up where `progress` of the budget is. */
export const progressWithin = ({ from, to }: Window = WHOLE, progress: number): number => (progress - from) / (to - from)

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
