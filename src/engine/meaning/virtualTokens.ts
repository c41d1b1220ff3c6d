// Reads the virtual tokens of an adaptation into host memory, however a method makes them.
import * as tf from '@tensorflow/tfjs'
import type { Adaptation } from '../methods/method'

/**
 * `[virtualTokens, hidden]`, or undefined where the adaptation has none.
 * @param adaptationOf called within a scope of its own, because some methods make their tensors when they are asked for
 */
export async function readVirtualTokens(adaptationOf: () => Adaptation): Promise<{ shape: number[]; data: Float32Array } | undefined> {
  const tokens = tf.tidy(() => {
    const { virtualTokens } = adaptationOf()
    // A buffer of its own: the optimiser may write the other one before this is read.
    return virtualTokens ? [tf.mul(virtualTokens, 1)] : []
  })[0]
  if (!tokens) return undefined
  try {
    return { shape: [...tokens.shape], data: ((await tokens.data()) as Float32Array).slice() }
  } finally {
    tokens.dispose()
  }
}
