// Prompts on the device that are continued together, a token each at a time, with a key-value cache.
import * as tf from '@tensorflow/tfjs'
import { UserError } from '../errors'
import type { Adaptation } from '../methods/method'
import { positionsTaken } from '../methods/positions'
import type { Decoder } from './decoder'
import { KeyValueCache } from './keyValueCache'

/** The prompts' padded length is a multiple of this, so that GPU buffers and pipelines are reused. */
const BUCKET = 16

export class Continuation {
  readonly #cache: KeyValueCache
  readonly #virtual: number
  readonly #prefix: number
  /** Tokens of each text so far, virtual ones counted. */
  readonly #lengths: Int32Array

  /** @throws UserError where a prompt is empty and has no virtual tokens in front */
  constructor(
    readonly decoder: Decoder,
    readonly prompts: readonly (readonly number[])[],
    readonly adaptation: Adaptation = {}
  ) {
    const { virtualTokens, prefix } = positionsTaken(adaptation)
    this.#virtual = virtualTokens
    this.#prefix = prefix
    this.#lengths = Int32Array.from(prompts, (prompt) => virtualTokens + prompt.length)
    if (this.#lengths.includes(0)) throw new UserError('There is no text to continue.', 'Write at least one word.')
    this.#cache = new KeyValueCache(prompts.length)
  }

  /** Whether the model has no position left for another token of this text. */
  isFull(text: number): boolean {
    return this.#prefix + this.#lengths[text]! >= this.decoder.config.maximumPositions
  }

  /**
   * Reads all prompts; returns the logits of what follows each, `[prompts, vocabulary]` float32.
   * @throws UserError where a prompt, virtual tokens and prefix included, is longer than the model's positions
   */
  start(): tf.Tensor2D {
    const { decoder, prompts, adaptation } = this
    const batch = prompts.length
    const length = Math.ceil(Math.max(1, ...prompts.map((prompt) => prompt.length)) / BUCKET) * BUCKET
    const ids = new Int32Array(batch * length).fill(decoder.config.padToken)
    prompts.forEach((prompt, text) => ids.set(prompt, text * length))
    const shared = this.#virtual
    return tf.tidy(() => {
      const hidden = decoder.run(decoder.embed(ids, adaptation), {
        batch,
        time: shared + length,
        shared,
        offset: 0,
        lengths: this.#lengths,
        adaptation,
        // What follows a text without tokens follows the last virtual one.
        rows: this.#lengths.map((real, text) => (real > shared ? text * length : 0) + real - 1),
        extend: (layer, key, value) => {
          this.#cache.fill(layer, key, value, shared)
          return { key, value, keyTime: shared + length }
        }
      })
      return decoder.logits(hidden, adaptation)
    })
  }

  /**
   * Adds a token to each text; returns the logits of what follows, `[prompts, vocabulary]` float32. A text whose token is undefined is over: it keeps
   * its length, and its logits mean nothing.
   */
  advance(tokens: readonly (number | undefined)[]): tf.Tensor2D {
    const { decoder, adaptation } = this
    tokens.forEach((token, text) => {
      if (token !== undefined) this.#lengths[text]! += 1
    })
    const ids = Int32Array.from(tokens, (token) => token ?? decoder.config.padToken)
    const positions = this.#lengths.map((length) => length - 1)
    return tf.tidy(() => {
      const hidden = decoder.run(decoder.embed(ids, { ...adaptation, virtualTokens: undefined }), {
        batch: ids.length,
        time: 1,
        offset: positions.length === 1 ? positions[0]! : positions,
        lengths: this.#lengths,
        adaptation,
        extend: (layer, key, value) => this.#cache.append(layer, positions, key, value)
      })
      return decoder.logits(hidden, adaptation)
    })
  }

  dispose(): void {
    this.#cache.dispose()
  }
}
