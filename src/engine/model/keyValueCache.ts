// Keys and values of the tokens so far, by layer, so that generation computes each token once.
import * as tf from '@tensorflow/tfjs'

/** Cache rows come in so many at once, so that GPU buffers and pipelines are reused. */
const BUCKET = 16

/** What attention sees of a layer: `[batch * keyTime, keyValueHeads * headSize]` float32 each. */
export interface CachedKeys {
  key: tf.Tensor2D
  value: tf.Tensor2D
  keyTime: number
}

/** The cache of a batch of texts. Its tensors `[batch, rows, keyValueHeads * headSize]` are its own; rows beyond a text hold numbers without meaning. */
export class KeyValueCache {
  readonly #layers: Record<'key' | 'value', tf.Tensor3D>[] = []

  constructor(readonly batch = 1) {}

  /** Takes over the keys and values of the first pass, from position 0, of which `shared` stand once, in front of those of all texts. */
  fill(layer: number, key: tf.Tensor2D, value: tf.Tensor2D, shared: number): void {
    const byText = (x: tf.Tensor2D): tf.Tensor3D => {
      const rows = (own: tf.Tensor): tf.Tensor3D => tf.reshape(own, [this.batch, -1, x.shape[1]])
      if (shared === 0) return lengthened(rows(x))
      const [front, own] = tf.split(x, [shared, x.shape[0] - shared]) as [tf.Tensor2D, tf.Tensor2D]
      return lengthened(tf.concat([rows(tf.tile(front, [this.batch, 1])), rows(own)], 1))
    }
    this.#replace(
      layer,
      tf.tidy(() => ({ key: byText(key), value: byText(value) }))
    )
  }

  /** Puts the key and value of one more token of each text, `[batch, width]`, at its position. Returns all rows. */
  append(layer: number, positions: Int32Array, key: tf.Tensor2D, value: tf.Tensor2D): CachedKeys {
    const old = this.#layers[layer]
    if (!old) throw new Error('The cache has no first pass.')
    const next = tf.tidy(() => ({ key: withRows(old.key, positions, key), value: withRows(old.value, positions, value) }))
    this.#replace(layer, next)
    const flat = (x: tf.Tensor3D): tf.Tensor2D => tf.reshape(x, [-1, x.shape[2]])
    return { key: flat(next.key), value: flat(next.value), keyTime: next.key.shape[1] }
  }

  dispose(): void {
    for (const { key, value } of this.#layers) tf.dispose([key, value])
    this.#layers.length = 0
  }

  #replace(layer: number, next: Record<'key' | 'value', tf.Tensor3D>): void {
    const old = this.#layers[layer]
    if (old) tf.dispose([old.key, old.value])
    this.#layers[layer] = { key: tf.keep(next.key), value: tf.keep(next.value) }
  }
}

/** With rows of zeros up to the next bucket; a copy of its own even where there is nothing to add. */
function lengthened(x: tf.Tensor3D, rows = x.shape[1]): tf.Tensor3D {
  const missing = Math.ceil(rows / BUCKET) * BUCKET - x.shape[1]
  return missing > 0 ? tf.concat([x, tf.zeros<tf.Rank.R3>([x.shape[0], missing, x.shape[2]])], 1) : tf.clone(x)
}

/** `x` with one row of each text replaced, in the same shape unless a row is the first of a new bucket. */
function withRows(x: tf.Tensor3D, positions: Int32Array, rows: tf.Tensor2D): tf.Tensor3D {
  const all = lengthened(x, Math.max(...positions) + 1)
  const here = tf.reshape(tf.oneHot(tf.tensor1d(positions, 'int32'), all.shape[1]), [x.shape[0], -1, 1])
  return tf.add(tf.mul(all, tf.sub(1, here)), tf.mul(tf.reshape(rows, [x.shape[0], 1, -1]), here))
}
