// The angles of the rotary position embedding (Su 2021), with the frequency scaling of Llama 3.1.
import * as tf from '@tensorflow/tfjs'
import type { RotaryTable } from '../kernels/rotary'
import type { DecoderConfig } from './config'

type Rotary = NonNullable<DecoderConfig['rotary']>

/**
 * Radians a position, by pair of dimensions: `[dimensions / 2]`. Rounded to float32 at each step as in Hugging Face's code, with whose angles
 * the models were trained: at position 1000 the difference to exact angles is 1e-5.
 */
export function rotaryFrequencies({ theta, dimensions, scaling }: Rotary): Float32Array {
  const frequencies = Float32Array.from(
    { length: dimensions / 2 },
    (_, pair) => 1 / Math.fround(theta ** Math.fround((2 * pair) / dimensions))
  )
  if (!scaling) return frequencies
  const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalMaximumPositions } = scaling
  return frequencies.map((frequency) => {
    const turns = (originalMaximumPositions * frequency) / (2 * Math.PI)
    if (turns < low) return frequency / factor
    if (turns > high) return frequency
    const share = (turns - low) / (high - low)
    return ((1 - share) * frequency) / factor + share * frequency
  })
}

/** Sines and cosines on the device, made once and grown when a longer sequence comes. */
export class RotaryCache {
  readonly #frequencies: Float32Array
  #table: RotaryTable | undefined

  constructor(rotary: Rotary) {
    this.#frequencies = rotaryFrequencies(rotary)
  }

  /** A table that reaches at least `positions`; owned by the cache. */
  reach(positions: number): RotaryTable {
    if (this.#table && this.#table.cosine.shape[0] >= positions) return this.#table
    this.dispose()
    // Powers of two, so that a growing text makes few tables.
    const rows = Math.max(64, 2 ** Math.ceil(Math.log2(positions)))
    const half = this.#frequencies.length
    const angles = Float32Array.from({ length: rows * half }, (_, i) => Math.floor(i / half) * (this.#frequencies[i % half] as number))
    this.#table = {
      cosine: tf.keep(tf.tensor2d(angles.map(Math.cos), [rows, half])),
      sine: tf.keep(tf.tensor2d(angles.map(Math.sin), [rows, half]))
    }
    return this.#table
  }

  dispose(): void {
    if (this.#table) tf.dispose([this.#table.cosine, this.#table.sine])
    this.#table = undefined
  }
}
