// Causal self-attention with lengths, grouped heads, a key-value prefix and a local window.
import * as tf from '@tensorflow/tfjs'
import { gatherRowsComposed } from './gatherRows'
import { attentionFused } from './webgpu/attention'
import { attentionOfSomeFused } from './webgpu/attentionOfSome'
import { isWebGpu } from './webgpu/run'

export interface AttentionInputs {
  /** `[batch * queryTime, heads * headSize]` float32, already rotated. */
  query: tf.Tensor2D
  /** `[batch * keyTime, keyValueHeads * headSize]` float32, already rotated. */
  key: tf.Tensor2D
  value: tf.Tensor2D
  /** `[prefix, keyValueHeads * headSize]` float32 in front of every row's keys, at positions -prefix to -1 (Li and Liang 2021). */
  prefix?: { key: tf.Tensor2D; value: tf.Tensor2D }
  /** `[batch]` int32 on the host: real keys in each row, prefix not counted; later ones are never seen. */
  lengths: Int32Array
  /**
   * So many first positions of every row are the same in all of them, as virtual tokens are, which see nothing of the text: they stand once, in front of query,
   * key and value, and the rows follow without them. `queryTime`, `keyTime` (then equal) and `lengths` count them. Absent is none.
   */
  shared?: number
  /**
   * Query, key and value of the `shared` rows again, where gradients are wanted of these alone: they flow in here, and `query`, `key` and `value` are not to be
   * differentiated. Absent is all that depends on what is trained.
   */
  front?: Record<'query' | 'key' | 'value', tf.Tensor2D>
  batch: number
  /** Query i of a row stands at position `queryOffset + i` and sees keys up to there: 1 in generation, else `keyTime`. */
  queryTime: number
  /**
   * Position of a row's first query; `keyTime - queryTime` where absent. Generation names it, for its cache is longer than the text: `last` puts
   * the one query of a row on its last real key, so that rows may differ in length; this form has no gradient.
   */
  queryOffset?: number | 'last'
  keyTime: number
  heads: number
  keyValueHeads: number
  headSize: number
  scale: number
  /** How many tokens back a query sees, itself included and the prefix counted; undefined is all. */
  window?: number
  /**
   * `[queries]` on the host: of a whole pass (`queryTime` equals `keyTime`) these rows alone are asked. `query` holds theirs and nothing else, in this order, and
   * so does the result; a row may occur more than once. Absent is all.
   */
  queries?: Int32Array
}

/** Attention of which some queries alone are asked. */
export type SomeQueries = AttentionInputs & Required<Pick<AttentionInputs, 'queries'>>

const areSome = (inputs: AttentionInputs): inputs is SomeQueries => inputs.queries !== undefined

/** Low enough that its exponential is zero, and finite, so that a row that sees nothing gives no NaN. */
const HIDDEN_SCORE = -1e9

/**
 * `softmax(scale * q k^T + mask) v` by head. Returns the shape of `query`, float32, differentiable in query, key, value and prefix.
 * Rows whose query stands at or beyond the row's length are padding: finite, without meaning.
 */
export function attention(inputs: AttentionInputs): tf.Tensor2D {
  if (!isWebGpu()) return attentionComposed(inputs)
  return areSome(inputs) ? attentionOfSomeFused(inputs) : attentionFused(inputs)
}

/** Where each of `queries` stands: its batch entry (the first for shared rows) and its position there. */
export function queryPlaces(
  queries: Int32Array,
  { keyTime, shared = 0 }: Pick<AttentionInputs, 'keyTime' | 'shared'>
): { entry: number; position: number }[] {
  return Array.from(queries, (row) => {
    const entry = Math.max(0, Math.floor((row - shared) / (keyTime - shared)))
    return { entry, position: row - entry * (keyTime - shared) }
  })
}

/** The form in TensorFlow.js operations, for every backend. */
export function attentionComposed(inputs: AttentionInputs): tf.Tensor2D {
  if (areSome(inputs)) return ofSome(inputs)
  const { front, rows } = withoutShared(inputs)
  return front ? tf.concat([ofRows(front), ofRows(rows)], 0) : ofRows(rows)
}

/** The same attention with no shared positions: those by themselves, and the rows, whose prefix they then are. */
export function withoutShared({ shared = 0, ...inputs }: AttentionInputs): { front?: AttentionInputs; rows: AttentionInputs } {
  if (shared === 0) return { rows: inputs }
  const { prefix } = inputs
  const apart = (states: tf.Tensor2D) => tf.split(states, [shared, states.shape[0] - shared]) as [tf.Tensor2D, tf.Tensor2D]
  const [frontQuery, query] = apart(inputs.query)
  const [frontKey, key] = apart(inputs.key)
  const [frontValue, value] = apart(inputs.value)
  const front = inputs.front ?? { query: frontQuery, key: frontKey, value: frontValue }
  const time = inputs.queryTime - shared
  return {
    front: { ...inputs, ...front, batch: 1, queryTime: shared, keyTime: shared, lengths: Int32Array.of(shared) },
    rows: {
      ...inputs,
      query,
      key,
      value,
      prefix: prefix ? { key: tf.concat([prefix.key, front.key], 0), value: tf.concat([prefix.value, front.value], 0) } : front,
      queryTime: time,
      keyTime: time,
      lengths: inputs.lengths.map((length) => length - shared)
    }
  }
}

/** Each batch entry has as many queries as the one with the most: those that are missing ask at its first position, and nobody reads what they are told. */
function ofSome({ query, queries, ...inputs }: SomeQueries): tf.Tensor2D {
  const places = queryPlaces(queries, inputs)
  const counts = new Array<number>(inputs.batch).fill(0)
  const ranks = places.map(({ entry }) => counts[entry]!++)
  const queryTime = Math.max(...counts)
  const slots = places.map(({ entry }, at) => entry * queryTime + ranks[at]!)
  const sources = new Int32Array(inputs.batch * queryTime)
  const positions = new Int32Array(inputs.batch * queryTime)
  const { shared = 0 } = inputs
  slots.forEach((slot, at) => {
    sources[slot] = at
    // Shared positions are a prefix here, and so below zero.
    positions[slot] = places[at]!.position - shared
  })
  // The keys alone are taken apart.
  const { rows } = withoutShared({ ...inputs, query: inputs.key })
  return gatherRowsComposed(ofRows({ ...rows, query: gatherRowsComposed(query, sources), queryTime }, positions), Int32Array.from(slots))
}

/** `positions` of the queries, where they do not follow each other. */
function ofRows(inputs: AttentionInputs, positions?: Int32Array): tf.Tensor2D {
  const { batch, queryTime, keyTime, heads, keyValueHeads, headSize, scale, prefix } = inputs
  const group = heads / keyValueHeads
  const prefixLength = prefix ? prefix.key.shape[0] : 0
  const allKeys = prefixLength + keyTime
  // Heads that share keys are further query rows of one product: keys are never repeated, which tf.tile could not differentiate.
  const query = tf.reshape(byHead(tf.mul(inputs.query, scale), batch, queryTime, heads, headSize), [
    batch * keyValueHeads,
    group * queryTime,
    headSize
  ])
  const joined = (own: tf.Tensor2D, front?: tf.Tensor2D): tf.Tensor3D => {
    const rows = byHead(own, batch, keyTime, keyValueHeads, headSize)
    const all = front
      ? tf.concat([tf.mul(byHead(front, 1, prefixLength, keyValueHeads, headSize), tf.ones([batch, 1, 1, 1])), rows], 2)
      : rows
    return tf.reshape(all, [batch * keyValueHeads, allKeys, headSize])
  }
  const scores = tf.matMul(query, joined(inputs.key, prefix?.key), false, true)
  const masked = tf.add(tf.reshape(scores, [batch, heads, queryTime, allKeys]), mask(inputs, prefixLength, positions))
  const weights = tf.reshape(tf.softmax(masked), [batch * keyValueHeads, group * queryTime, allKeys])
  const mixed = tf.matMul(weights, joined(inputs.value, prefix?.value))
  return tf.reshape(tf.transpose(tf.reshape(mixed, [batch, heads, queryTime, headSize]), [0, 2, 1, 3]), [
    batch * queryTime,
    heads * headSize
  ])
}

/** `[batch * time, heads * headSize]` to `[batch, heads, time, headSize]`. */
function byHead(x: tf.Tensor, batch: number, time: number, heads: number, headSize: number): tf.Tensor4D {
  return tf.transpose(tf.reshape(x, [batch, time, heads, headSize]), [0, 2, 1, 3])
}

/** What is added to the scores: `[rows, 1, queryTime, prefix + keyTime]`, where rows is 1 if causality alone hides every padding key. */
function mask(inputs: AttentionInputs, prefixLength: number, positions?: Int32Array): tf.Tensor4D {
  const { batch, queryTime, keyTime, lengths, window = Infinity } = inputs
  const offset = inputs.queryOffset ?? keyTime - queryTime
  // Where queries start at 0, a real query never reaches the padding on its right.
  const rows = offset === 0 && !positions ? 1 : batch
  const width = prefixLength + keyTime
  const values = new Float32Array(rows * queryTime * width)
  let at = 0
  for (let row = 0; row < rows; row++) {
    const length = offset === 0 || positions ? keyTime : (lengths[row] as number)
    for (let i = 0; i < queryTime; i++, at += width) {
      const position = positions ? positions[row * queryTime + i]! : offset === 'last' ? length - 1 : offset + i
      for (let j = -prefixLength; j < keyTime; j++) {
        if (j > position || j <= position - window || j >= length) values[at + prefixLength + j] = HIDDEN_SCORE
      }
    }
  }
  return tf.tensor4d(values, [rows, 1, queryTime, width])
}
