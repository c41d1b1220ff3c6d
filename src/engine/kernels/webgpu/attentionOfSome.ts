// Attention of some queries alone, forth and back: behind the last layer nobody reads those of the rows that predict nothing.
import type * as tf from '@tensorflow/tfjs'
import { derived } from '../../hostArrays'
import { queryPlaces, type SomeQueries } from '../attention'
import { empty, fused, once } from './fused'
import { lanesFor, unroll, variants, type Lanes } from './program'
import type { Runner } from './run'

type Attributes = Omit<SomeQueries, 'query' | 'key' | 'value' | 'prefix'>

/** Queries, or keys, of one head that a workgroup's threads stand on. */
const THREADS = 32

const UNIFORMS = {
  queries: 'i32',
  time: 'i32',
  prefix: 'i32',
  front: 'i32',
  batch: 'i32',
  heads: 'i32',
  keyValueHeads: 'i32',
  window: 'i32',
  scale: 'f32'
} as const

/** What the backward pass knows of a query of a head, `[heads, queries]`: its normaliser, `sum(p g)` (see below), its batch entry, its position. */
const STATISTICS = 4

const keyPlace = (count: number): string =>
  `((select(batch, 0, j < u.front) * (u.time - u.front) + j) * u.keyValueHeads + keyHead) * ${count}`
const prefixPlace = (count: number): string => `(j * u.keyValueHeads + keyHead) * ${count}`
const queryPlace = (count: number): string => `(i * u.heads + head) * ${count}`

/** The loops of a query over all that it sees: the prefix, in front of position 0, then its own row's keys, both from the window's edge on. */
const overKeys = (prefixed: boolean, count: number, visit: (key: string, value: string) => string): string =>
  `${
    prefixed
      ? `for (var j = max(0, u.prefix + position + 1 - u.window); j < u.prefix; j++) {
let at = ${prefixPlace(count)};
${visit('prefixKey', 'prefixValue')}
}`
      : ''
  }
for (var j = max(0, position + 1 - u.window); j <= position; j++) {
let at = ${keyPlace(count)};
${visit('key', 'value')}
}`

const queryThread = (count: number): string => `let i = i32(thread.x);
let head = i32(group.y);
if (i >= u.queries) { return; }
let keyHead = head / (u.heads / u.keyValueHeads);
let own = ${queryPlace(count)};
let known = head * u.queries + i;`

const prefixInputs = (prefixed: boolean) =>
  prefixed ? ({ prefixKey: 'Lane', prefixValue: 'Lane' } as const) : ({} as Record<string, never>)

/** A thread owns one query of one head, as in `attention.ts`. */
const forwardProgram = variants('attentionOfSome', (lanes: Lanes, count: number, prefixed: boolean) => ({
  lanes,
  outputs: { output: 'Lane', statistics: 'vec4<f32>' },
  inputs: { query: 'Lane', key: 'Lane', value: 'Lane', ...prefixInputs(prefixed), places: 'i32' },
  uniforms: UNIFORMS,
  workgroup: [THREADS],
  main: `${queryThread(count)}
let batch = places[2 * i];
let position = places[2 * i + 1];
${unroll(count, (n) => `let q${n} = query[own + ${n}] * u.scale;\nvar mixed${n} = Lane();`)}
var top = -1e30;
var sum = 0.0;
${overKeys(
  prefixed,
  count,
  (key, value) => `var products = Lane();
${unroll(count, (n) => `products += q${n} * ${key}[at + ${n}];`)}
let score = total(products);
let higher = max(top, score);
let shrink = exp(top - higher);
let weight = exp(score - higher);
top = higher;
sum = sum * shrink + weight;
${unroll(count, (n) => `mixed${n} = mixed${n} * shrink + weight * ${value}[at + ${n}];`)}`
)}
let share = 1.0 / sum;
${unroll(count, (n) => `output[own + ${n}] = mixed${n} * share;`)}
statistics[known] = vec4<f32>(top + log(sum), 0.0, f32(batch), f32(position));`
}))

/** With weight p and its gradient g = dy . v the score's gradient is p (g - sum(p g)); the sum is known only at the end, and goes to `statistics`. */
const queryGradientProgram = variants('attentionOfSomeQueryGradient', (lanes: Lanes, count: number, prefixed: boolean) => ({
  lanes,
  outputs: { output: 'Lane', statistics: 'vec4<f32>' },
  inputs: { query: 'Lane', key: 'Lane', value: 'Lane', ...prefixInputs(prefixed), dy: 'Lane' },
  uniforms: UNIFORMS,
  workgroup: [THREADS],
  main: `${queryThread(count)}
let before = statistics[known];
let batch = i32(before.z);
let position = i32(before.w);
${unroll(count, (n) => `let q${n} = query[own + ${n}] * u.scale;\nlet d${n} = dy[own + ${n}];\nvar weighted${n} = Lane();\nvar mean${n} = Lane();`)}
var sum = 0.0;
${overKeys(
  prefixed,
  count,
  (key, value) => `var products = Lane();
var gradients = Lane();
${unroll(count, (n) => `let k${n} = ${key}[at + ${n}];\nproducts += q${n} * k${n};\ngradients += d${n} * ${value}[at + ${n}];`)}
let weight = exp(total(products) - before.x);
let weightedGradient = weight * total(gradients);
sum += weightedGradient;
${unroll(count, (n) => `weighted${n} += weightedGradient * k${n};\nmean${n} += weight * k${n};`)}`
)}
${unroll(count, (n) => `output[own + ${n}] = (weighted${n} - sum * mean${n}) * u.scale;`)}
statistics[known] = vec4<f32>(before.x, sum, before.z, before.w);`
}))

/**
 * A thread owns one key and value of one shared head, and goes over the queries of its row that see it; one that all rows share, or of the prefix, goes over
 * all: they are few, so nothing has to be added up afterwards. `order` holds where each batch entry's queries begin, and the end, then all by entry.
 */
const keyGradientProgram = variants('attentionOfSomeKeyGradient', (lanes: Lanes, count: number, ofPrefix: boolean) => ({
  lanes,
  outputs: { keyGradient: 'Lane', valueGradient: 'Lane' },
  inputs: { query: 'Lane', key: 'Lane', value: 'Lane', statistics: 'vec4<f32>', dy: 'Lane', order: 'i32' },
  uniforms: UNIFORMS,
  workgroup: [THREADS],
  main: `let j = i32(thread.x);
let keyHead = i32(group.y);
let batch = i32(group.z);
${
  ofPrefix
    ? `if (j >= u.prefix) { return; }
let at = ${prefixPlace(count)};
let position = j - u.prefix;
let isCommon = true;`
    : `if (j >= u.time || (j < u.front && batch > 0)) { return; }
let at = ${keyPlace(count)};
let position = j;
let isCommon = j < u.front;`
}
${unroll(count, (n) => `let k${n} = key[at + ${n}];\nlet v${n} = value[at + ${n}];\nvar keySum${n} = Lane();\nvar valueSum${n} = Lane();`)}
let sharers = u.heads / u.keyValueHeads;
let end = select(order[batch + 1], u.queries, isCommon);
for (var turn = select(order[batch], 0, isCommon); turn < end; turn++) {
let i = order[u.batch + 1 + turn];
for (var head = keyHead * sharers; head < (keyHead + 1) * sharers; head++) {
let known = statistics[head * u.queries + i];
let back = i32(known.w) - position;
if (back < 0 || back >= u.window) { continue; }
let own = ${queryPlace(count)};
var products = Lane();
var gradients = Lane();
${unroll(count, (n) => `let q${n} = query[own + ${n}];\nlet d${n} = dy[own + ${n}];\nproducts += q${n} * k${n};\ngradients += d${n} * v${n};`)}
let weight = exp(total(products) * u.scale - known.x);
let slope = weight * (total(gradients) - known.y) * u.scale;
${unroll(count, (n) => `keySum${n} += slope * q${n};\nvalueSum${n} += weight * d${n};`)}
}
}
${unroll(count, (n) => `keyGradient[at + ${n}] = keySum${n};\nvalueGradient[at + ${n}] = valueSum${n};`)}`
}))

/** Batch entry and position of each query. */
const placesOf = (attributes: Attributes): Int32Array =>
  derived(attributes.queries, (queries) =>
    Int32Array.from(queryPlaces(queries, attributes).flatMap(({ entry, position }) => [entry, position]))
  )

/** As `keyGradientProgram` reads it. */
const orderOf = (attributes: Attributes): Int32Array =>
  derived(attributes.queries, (queries) => {
    const entries = queryPlaces(queries, attributes).map(({ entry }) => entry)
    const byEntry = [...entries.keys()].sort((a, b) => entries[a]! - entries[b]!)
    const starts = Array.from({ length: attributes.batch + 1 }, (_, batch) => entries.filter((entry) => entry < batch).length)
    return Int32Array.from([...starts, ...byEntry])
  })

type Names = 'query' | 'key' | 'value' | 'statistics'
type Tensors = Record<Names, tf.Tensor> & { prefixKey?: tf.Tensor; prefixValue?: tf.Tensor }

/** What all programs are told. A window beyond any position means none; it is halved so that sums with it stay in range. */
function uniforms(attributes: Attributes, prefixKey?: tf.Tensor): number[] {
  const { queries, keyTime, batch, shared = 0, heads, keyValueHeads, window = Infinity, scale } = attributes
  return [queries.length, keyTime, prefixKey?.shape[0] ?? 0, shared, batch, heads, keyValueHeads, Math.min(window, 2 ** 30), scale]
}

function lanesOf({ headSize }: Attributes): [Lanes, number] {
  const lanes = lanesFor(headSize)
  return [lanes, headSize / lanes]
}

const groupsOver = (items: number, heads: number, batch = 1): [number, number, number] => [Math.ceil(items / THREADS), heads, batch]

const operation = fused<Attributes>({
  name: 'FusedAttentionOfSome',
  saved: ['query', 'key', 'value', 'prefixKey', 'prefixValue', 'statistics'],
  shape: ({ query }) => (query as tf.Tensor).shape,
  scratch: (_, { heads, queries }) => ({ statistics: [heads, queries.length, STATISTICS] }),
  forward: (run, output, inputs, attributes) => {
    const { query, key, value, prefixKey, prefixValue, statistics } = inputs as Tensors
    const places = run.upload(placesOf(attributes))
    run.run(forwardProgram(...lanesOf(attributes), !!prefixKey), {
      outputs: [output, statistics],
      inputs: [query, key, value, ...(prefixKey && prefixValue ? [prefixKey, prefixValue] : []), places],
      uniforms: uniforms(attributes, prefixKey),
      groups: groupsOver(attributes.queries.length, attributes.heads)
    })
    run.free(places)
  },
  gradient: (run, dy, inputs, attributes) => gradients(run, dy, inputs as Tensors, attributes)
})

function gradients(run: Runner, dy: tf.Tensor, tensors: Tensors, attributes: Attributes): Record<string, () => tf.Tensor> {
  const { query, key, value, prefixKey, prefixValue, statistics } = tensors
  const { batch, heads, keyValueHeads, queries, keyTime } = attributes
  const constants = lanesOf(attributes)
  const values = uniforms(attributes, prefixKey)
  const prefix = prefixKey && prefixValue ? [prefixKey, prefixValue] : []
  const dQuery = empty(query.shape)
  const ofQueries = once(() =>
    run.run(queryGradientProgram(...constants, prefix.length > 0), {
      outputs: [dQuery, statistics],
      inputs: [query, key, value, ...prefix, dy],
      uniforms: values,
      groups: groupsOver(queries.length, heads)
    })
  )
  /** The gradients of keys and of their values. */
  const ofKeys = (keys: tf.Tensor, theirs: tf.Tensor, groups: [number, number, number]): Record<'key' | 'value', () => tf.Tensor> => {
    const [dKey, dValue] = [empty(keys.shape), empty(theirs.shape)]
    const fill = once(() => {
      ofQueries()
      const order = run.upload(orderOf(attributes))
      run.run(keyGradientProgram(...constants, keys === prefixKey), {
        outputs: [dKey, dValue],
        inputs: [query, keys, theirs, statistics, dy, order],
        uniforms: values,
        groups
      })
      run.free(order)
    })
    const filled = (gradient: tf.Tensor) => () => {
      fill()
      return gradient
    }
    return { key: filled(dKey), value: filled(dValue) }
  }
  const own = ofKeys(key, value, groupsOver(keyTime, keyValueHeads, batch))
  const all = { query: () => (ofQueries(), dQuery), ...own }
  if (!prefixKey || !prefixValue) return all
  const ofPrefix = ofKeys(prefixKey, prefixValue, groupsOver(prefixKey.shape[0] as number, keyValueHeads))
  return { ...all, prefixKey: ofPrefix.key, prefixValue: ofPrefix.value }
}

/** `attention` of the listed queries in one dispatch, its gradients in two, one more for a prefix; see `../attention`. */
export function attentionOfSomeFused({ query, key, value, prefix, ...attributes }: SomeQueries): tf.Tensor2D {
  return operation({ query, key, value, prefixKey: prefix?.key, prefixValue: prefix?.value }, attributes) as tf.Tensor2D
}
