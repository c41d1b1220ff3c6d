// Chooses the next token from its logits: greedily, or by temperature, top-k and top-p.
import type { Random } from '../random'

export interface SamplingOptions {
  /** Logits are divided by it; 0 always takes the most probable token. */
  temperature: number
  /** Only the so many most probable tokens may come; 0 is all. */
  topK: number
  /** Only the fewest tokens whose probabilities reach this together (Holtzman 2020); 1 is all. */
  topP: number
}

export const GREEDY: SamplingOptions = { temperature: 0, topK: 0, topP: 1 }

/**
 * A token id. Temperature comes first, then top-k, then top-p, as in Hugging Face; equal logits keep the order of their ids.
 * `random` is asked for one number, and for none where the choice is greedy.
 */
export function sampleToken(logits: Float32Array, { temperature, topK, topP }: SamplingOptions, random: Random): number {
  if (temperature === 0 || topK === 1) return mostProbable(logits)
  const ids = Array.from(logits.keys()).sort((a, b) => (logits[b] as number) - (logits[a] as number))
  if (topK > 0) ids.length = Math.min(ids.length, topK)
  const highest = logits[ids[0] as number] as number
  const weights = ids.map((id) => Math.exp(((logits[id] as number) - highest) / temperature))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  let kept = 0
  let keptWeight = 0
  while (kept < ids.length && (kept === 0 || keptWeight < topP * total)) keptWeight += weights[kept++] as number
  let left = random.uniform() * keptWeight
  for (let i = 0; i < kept - 1; i++) {
    left -= weights[i] as number
    if (left < 0) return ids[i] as number
  }
  return ids[kept - 1] as number
}

function mostProbable(logits: Float32Array): number {
  let best = 0
  for (let id = 1; id < logits.length; id++) if ((logits[id] as number) > (logits[best] as number)) best = id
  return best
}
