// Keys and values of the tokens so far, by layer, so that generation computes each token once.
import * as tf from '@tensorflow/tfjs'
import type { KeyValuePrefix } from '../methods/method'

/** Cache rows come in so many at once, so that GPU buffers and pipelines are reused. */
const BUCKET = 16

/** The cache of one row of tokens. Its tensors `[rows, keyValueHeads * headSize]` are owned by it; rows beyond the text hold numbers without meaning. */
export class KeyValueCache {
  readonly #layers: KeyValuePrefix[] = []

  /** Takes over the keys and values of the first pass, from position 0. Returns what the attention of that pass should see. */
  fill(layer: number, key: tf.Tensor2D, value: tf.Tensor2D): KeyValuePrefix {
    this.#replace(
      layer,
      tf.tidy(() => ({ key: lengthened(key), value: lengthened(value) }))
    )
    return { key, value }
  }

  /** Puts the key and value of one more token, `[1, width]`, at `position`. Returns all rows. */
  append(layer: number, position: number, key: tf.Tensor2D, value: tf.Tensor2D): KeyValuePrefix {
    const old = this.#layers[layer]
    if (!old) throw new Error('The cache has no first pass.')
    const next = tf.tidy(() => ({ key: withRow(old.key, position, key), value: withRow(old.value, position, value) }))
    this.#replace(layer, next)
    return next
  }

  dispose(): void {
    for (const { key, value } of this.#layers) tf.dispose([key, value])
    this.#layers.length = 0
  }

  #replace(layer: number, next: KeyValuePrefix): void {
    const old = this.#layers[layer]
    if (old) tf.dispose([old.key, old.value])
    this.#layers[layer] = { key: tf.keep(next.key), value: tf.keep(next.value) }
  }
}

/** With rows of zeros up to the next bucket; a copy of its own even where there is nothing to add. */
function lengthened(x: tf.Tensor2D, rows = x.shape[0]): tf.Tensor2D {
  const missing = Math.ceil(rows / BUCKET) * BUCKET - x.shape[0]
  return missing > 0 ? tf.concat([x, tf.zeros<tf.Rank.R2>([missing, x.shape[1]])]) : tf.clone(x)
}

/** `x` with one row replaced, in the same shape unless the row is the first of a new bucket. */
function withRow(x: tf.Tensor2D, position: number, row: tf.Tensor2D): tf.Tensor2D {
  const all = lengthened(x, position + 1)
  const here = tf.reshape(tf.oneHot(tf.scalar(position, 'int32'), all.shape[0]), [-1, 1])
  return tf.add(tf.mul(all, tf.sub(1, here)), tf.mul(row, here))
}
