// How a run is tuned: everything that, with the base, the task and the device, decides its numbers.
import type { OptionValues } from '../methods/method'

export interface RecipePart {
  /** A row of the method registry. */
  method: string
  options: OptionValues
  learningRate: number
  weightDecay: number
}

export type ScheduleKind = 'constant' | 'linear' | 'cosine'

/** One method, or several together (a hybrid), with optimiser, schedule and seed. */
export interface Recipe {
  parts: RecipePart[]
  schedule: { kind: ScheduleKind; warmupSteps: number }
  /** AdamW (Loshchilov and Hutter 2019). `clipNorm` 0 is no clipping. */
  optimiser: { beta1: number; beta2: number; epsilon: number; clipNorm: number }
  batchSize: number
  /** Longer prompts are cut on the left of their longest field, in tokens. */
  maximumLength: number
  seed: number
}

export type Budget = { kind: 'steps'; steps: number } | { kind: 'seconds'; seconds: number }

/** What all runs of a race share. */
export interface RaceSettings {
  budget: Budget
  /** Validation every so many steps, and at the end. */
  evaluateEvery: number
  /** Stop a run after so many validations without a better one (a higher macro F1, or as high a one with a lower loss); 0 is never. */
  patience: number
}
