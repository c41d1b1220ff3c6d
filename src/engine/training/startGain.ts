// What a start gains: how many steps two runs take to the same validation loss.
import type { ValidationRecord } from './records'

/** What is asked of a curve. */
export interface Validated {
  validation: readonly Pick<ValidationRecord, 'step' | 'loss'>[]
}

/**
 * Steps until the validation loss is `loss` or less for the first time: between two validations as if the loss fell in a straight line; undefined where
 * it never does.
 */
export function stepsToReach({ validation }: Validated, loss: number): number | undefined {
  const at = validation.findIndex((record) => record.loss <= loss)
  if (at < 0) return undefined
  const reached = validation[at]!
  const before = validation[at - 1]
  if (!before) return reached.step
  return before.step + ((reached.step - before.step) * (before.loss - loss)) / (before.loss - reached.loss)
}

export interface StartGain {
  /** The validation loss that both are asked for, in nats per label token. */
  loss: number
  /** Steps until then; undefined where it was not reached. */
  steps: { reference: number | undefined; start: number | undefined }
}

/** Steps of a run from a start against those of a reference (from random numbers) to the lowest validation loss of the reference. */
export function startGain(reference: Validated, start: Validated): StartGain {
  const loss = Math.min(...reference.validation.map((record) => record.loss))
  return { loss, steps: { reference: stepsToReach(reference, loss), start: stepsToReach(start, loss) } }
}
