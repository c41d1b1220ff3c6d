// What a model forgot: its loss on held-out general prose, before and after tuning.
import type { Adaptation } from '../methods/method'
import type { Batch } from '../model/batch'
import type { Decoder } from '../model/decoder'
import { nextTask } from '../nextTask'
import { tokenLoss } from './tokenLoss'

/** Logits that are on the device at once: 16 MiB in float32, of which the composed forms hold a few copies. */
const MAXIMUM_LOGITS = 4 * 1024 * 1024

/** How many passages of that many tokens to put into one batch, so that the logits of all their tokens stay small. */
export function passagesPerBatch(vocabularySize: number, longestPassage: number): number {
  return Math.max(1, Math.floor(MAXIMUM_LOGITS / (vocabularySize * longestPassage)))
}

/**
 * Mean nats per token of the passages. A batch's labels are all its real tokens behind the first; with a soft prompt in use, that stands in front.
 * Waits for `between` between batches, as `evaluate` does.
 * @throws NotFiniteError where the loss is not a finite number
 */
export async function natsPerToken(
  decoder: Decoder,
  passages: readonly Batch[],
  adaptation: Adaptation = {},
  between: () => Promise<void> = nextTask
): Promise<number> {
  return (await tokenLoss(decoder, passages, adaptation, between)).loss
}
