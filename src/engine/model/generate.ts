// Continues a text token by token, with a key-value cache.
import * as tf from '@tensorflow/tfjs'
import { UserError } from '../errors'
import type { Adaptation } from '../methods/method'
import { positionsTaken } from '../methods/positions'
import type { Random } from '../random'
import type { Decoder } from './decoder'
import { KeyValueCache } from './keyValueCache'
import { sampleToken, type SamplingOptions } from './sampling'

export interface GenerateOptions extends SamplingOptions {
  maximumTokens: number
  random: Random
  /** Generation ends before one of these; the model's own end tokens are not among them unless given. */
  stopTokens?: readonly number[]
  adaptation?: Adaptation
  /** Ends generation before the next token. */
  signal?: AbortSignal
}

/** The prompt's padded length is a multiple of this, so that GPU buffers and pipelines are reused. */
const BUCKET = 16

/**
 * Yields the continuation's token ids as they come, up to `maximumTokens`, a stop token, an abort or the model's last position.
 * Tensors are freed whenever the consumer stops.
 * @throws UserError where the prompt is empty or, virtual tokens and prefix included, longer than the model's positions
 */
export async function* generate(decoder: Decoder, prompt: readonly number[], options: GenerateOptions): AsyncGenerator<number, void, void> {
  const { adaptation = {}, signal, random, stopTokens = [], maximumTokens } = options
  const { virtualTokens: virtual, prefix } = positionsTaken(adaptation)
  if (virtual + prompt.length === 0) throw new UserError('There is no text to continue.', 'Write at least one word.')
  const cache = new KeyValueCache()
  try {
    let position = virtual + prompt.length
    let logits = tf.tidy(() => decoder.logits(prefill(decoder, prompt, virtual, adaptation, cache), adaptation))
    for (let count = 0; count < maximumTokens; count++) {
      const values = (await logits.data()) as Float32Array
      logits.dispose()
      if (signal?.aborted) return
      const token = sampleToken(values, options, random)
      if (stopTokens.includes(token)) return
      yield token
      if (signal?.aborted || count + 1 === maximumTokens || prefix + position >= decoder.config.maximumPositions) return
      logits = tf.tidy(() => decoder.logits(advance(decoder, token, position, adaptation, cache), adaptation))
      position++
    }
  } finally {
    cache.dispose()
  }
}

/** The whole prompt at once; returns the hidden state of its last token, `[1, hidden]`. */
function prefill(decoder: Decoder, prompt: readonly number[], virtual: number, adaptation: Adaptation, cache: KeyValueCache): tf.Tensor2D {
  const padded = new Int32Array(Math.ceil(prompt.length / BUCKET) * BUCKET).fill(decoder.config.padToken)
  padded.set(prompt)
  const length = virtual + prompt.length
  const time = virtual + padded.length
  return decoder.run(decoder.embed(padded, 1, adaptation), {
    batch: 1,
    time,
    offset: 0,
    lengths: Int32Array.of(length),
    adaptation,
    rows: Int32Array.of(length - 1),
    extend: (layer, key, value) => ({ ...cache.fill(layer, key, value), keyTime: time })
  })
}

/** One more token at `position`, virtual tokens counted; returns its hidden state, `[1, hidden]`. */
function advance(decoder: Decoder, token: number, position: number, adaptation: Adaptation, cache: KeyValueCache): tf.Tensor2D {
  const embedded = decoder.embed(Int32Array.of(token), 1, { ...adaptation, virtualTokens: undefined })
  return decoder.run(embedded, {
    batch: 1,
    time: 1,
    offset: position,
    lengths: Int32Array.of(position + 1),
    adaptation,
    extend: (layer, key, value) => {
      const all = cache.append(layer, position, key, value)
      return { ...all, keyTime: all.key.shape[0] }
    }
  })
}
