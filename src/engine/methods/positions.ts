// How many of the model's positions an adaptation takes in front of every text.
import * as tf from '@tensorflow/tfjs'
import type { Adaptation } from './method'

/** Virtual tokens, which are fed as tokens are, and a prefix of keys and values, which only takes their places. Leaves no tensor behind. */
export function positionsTaken(adaptation: Adaptation): { virtualTokens: number; prefix: number } {
  let taken = { virtualTokens: 0, prefix: 0 }
  // Tidied, because a method may make its tensors when they are asked for.
  tf.tidy(() => {
    taken = { virtualTokens: adaptation.virtualTokens?.shape[0] ?? 0, prefix: adaptation.keyValues?.(0)?.key.shape[0] ?? 0 }
  })
  return taken
}
