// Reads a text once and keeps its keys and values, so that many texts can follow it without reading it again.
import * as tf from '@tensorflow/tfjs'
import type { Adaptation, KeyValuePrefix } from '../methods/method'
import type { Decoder } from './decoder'

export interface ReadContext {
  /** Every text that is read with it stands behind the context. */
  adaptation: Adaptation
  /** Frees the tensors; the adaptation must not be used after that. */
  dispose(): void
}

/**
 * The keys and values of a context, which all texts behind it see as a prefix: exactly what reading context and text together gives, since attention
 * is causal and a prefix takes positions.
 * @param ids tokens of the context, the begin token among them where the model has one; at least one
 * @throws UserError where they are longer than the model's positions
 */
export function readContext(decoder: Decoder, ids: Int32Array): ReadContext {
  const prefixes: KeyValuePrefix[] = []
  tf.tidy(() => {
    decoder.run(decoder.embed(ids, {}), {
      batch: 1,
      time: ids.length,
      offset: 0,
      lengths: Int32Array.of(ids.length),
      adaptation: {},
      rows: Int32Array.of(0),
      extend: (layer, key, value) => {
        // Copies, because the pass frees its own.
        prefixes[layer] = { key: tf.keep(tf.clone(key)), value: tf.keep(tf.clone(value)) }
        return { key, value, keyTime: ids.length }
      }
    })
  })
  return {
    adaptation: { keyValues: (layer) => prefixes[layer] },
    dispose: () => prefixes.forEach(({ key, value }) => tf.dispose([key, value]))
  }
}
