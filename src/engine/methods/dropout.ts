// Inverted dropout (Srivastava et al. 2014) whose masks are drawn from a seed and a name, so that the same step draws the same.
import type * as tf from '@tensorflow/tfjs'
import { Random } from '../random'
import type { TrainingPass } from './method'

/**
 * `x` with each number set to zero with probability `rate` and the others scaled by `1 / (1 - rate)`, so that the expected value stays.
 * @param x `[rows, columns]` float32
 * @param name of the place in the model: other places draw other masks
 */
export function dropout(x: tf.Tensor2D, rate: number, name: string, { seed, tensor }: TrainingPass): tf.Tensor2D {
  return x.mul(tensor(dropoutMask(x.size, rate, seed, name), x.shape))
}

/** Zeros with probability `rate`, to 1/65536, and `1 / (1 - rate)`. */
export function dropoutMask(size: number, rate: number, seed: number, name: string): Float32Array {
  const random = new Random([...name].reduce((hash, letter) => Math.imul(hash, 31) + letter.charCodeAt(0), seed) >>> 0)
  const kept = 1 / (1 - rate)
  const threshold = Math.round(rate * 0x10000)
  const mask = new Float32Array(size)
  // Two numbers from each draw: a mask has as many numbers as the layer reads.
  for (let i = 0; i < size; i += 2) {
    const drawn = random.next()
    mask[i] = (drawn & 0xffff) < threshold ? 0 : kept
    if (i + 1 < size) mask[i + 1] = drawn >>> 16 < threshold ? 0 : kept
  }
  return mask
}
