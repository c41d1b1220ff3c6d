// How a run is tuned: everything that, with the base, the task and the device, decides its numbers.
import type { OptionValues } from '../methods/method'

/** Shares of a budget, from 0 to 1: steps of steps, or charged seconds of seconds; `to` itself no longer belongs to it. */
export interface Window {
  from: number
  to: number
}

export interface RecipePart {
  /** A row of the method registry. */
  method: string
  options: OptionValues
  learningRate: number
  weightDecay: number
  /**
   * When the part is trained; absent: all the time. Outside it the part is frozen (no gradient, no decay, no update), and acts in the forward pass
   * all the same, from the beginning. Warm-up and decay of the learning rate count within it.
   */
  window?: Window
}

export type ScheduleKind = 'constant' | 'linear' | 'cosine'

/** One method, or several together (a hybrid), all at once or in stages, with optimiser, schedule and seed. */
export interface Recipe {
  parts: RecipePart[]
  schedule: { kind: ScheduleKind; warmupSteps: number }
  /** AdamW (Loshchilov and Hutter 2019). `clipNorm` 0 is no clipping. */
  optimiser: { beta1: number; beta2: number; epsilon: number; clipNorm: number }
  /** Of each layer only its input is kept for the gradients, and the layer is computed a second time: less memory for a third more work. Absent: no. */
  gradientCheckpointing?: boolean
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
  /** Train on this many examples, balanced over the labels and drawn by the seed of the first recipe; absent: on all. */
  trainingExamples?: number
}
