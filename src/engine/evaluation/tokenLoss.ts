// The loss at every label token of some batches, and how long it took.
import { assertDeviceHealthy } from '../device/start'
import type { Adaptation } from '../methods/method'
import type { Batch } from '../model/batch'
import type { Decoder } from '../model/decoder'
import { median } from '../training/accounts'
import { forwardWork } from '../training/eta'
import { NotFiniteError } from './evaluate'

export interface TokenLoss {
  /** Mean nats per label token. */
  loss: number
  /** Label tokens. */
  tokens: number
  /** Time computed, pauses between batches left out. */
  milliseconds: number
  /** Median over the batches per unit of `forwardWork`, so that the compilation of a first batch hardly counts. */
  millisecondsPerWork: number
}

/**
 * Scores all label tokens of all batches. Between batches it waits for `between`; what that throws ends it.
 * @throws NotFiniteError where the loss is not a finite number
 */
export async function tokenLoss(
  decoder: Decoder,
  batches: readonly Batch[],
  adaptation: Adaptation,
  between: () => Promise<void>
): Promise<TokenLoss> {
  const rates: number[] = []
  let [nats, tokens, milliseconds] = [0, 0, 0]
  for (const batch of batches) {
    const started = performance.now()
    const values = decoder.logProbabilities(batch, adaptation)
    try {
      for (const value of await values.data()) nats -= value
    } finally {
      values.dispose()
    }
    assertDeviceHealthy()
    const taken = performance.now() - started
    milliseconds += taken
    rates.push(taken / forwardWork(decoder.config, batch.size * batch.time, batch.labelIds.length))
    tokens += batch.labelIds.length
    await between()
  }
  if (!Number.isFinite(nats)) throw new NotFiniteError()
  return { loss: nats / tokens, tokens, milliseconds, millisecondsPerWork: median(rates) }
}
