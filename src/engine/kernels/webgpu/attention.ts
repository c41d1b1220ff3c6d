// Causal attention and its gradients without a matrix of scores: softmax runs along, and is computed again on the way back (Dao 2022).
import * as tf from '@tensorflow/tfjs'
import type { AttentionInputs } from '../attention'
import { columnSums, plainColumnSum } from './columnSums'
import { empty, fused, once } from './fused'
import { lanesFor, unroll, variants, type Lanes } from './program'
import { flatIndex, WORKGROUP, type Runner } from './run'

type AttentionAttributes = Omit<AttentionInputs, 'query' | 'key' | 'value' | 'prefix' | 'front'> & { hasFront: boolean }

/** Queries, or keys, of one head that a workgroup's threads stand on. */
const THREADS = 32

/** The normaliser of a query that is padding: it makes every weight zero, and marks what to skip. */
const PADDING = '1e30'

const UNIFORMS = {
  queryTime: 'i32',
  queryOffset: 'i32',
  keyTime: 'i32',
  prefix: 'i32',
  front: 'i32',
  heads: 'i32',
  keyValueHeads: 'i32',
  window: 'i32',
  scale: 'f32'
} as const

/** `count` lanes of head `head` begin here, in a matrix of `time` rows a batch entry and `heads` heads a row. The shared first rows stand once. */
const place = (time: string, row: string, heads: string, head: string, count: number): string =>
  `((select(batch, 0, ${row} < u.front) * (${time} - u.front) + ${row}) * ${heads} + ${head}) * ${count}`

const queryPlace = (row: string, count: number): string => place('u.queryTime', row, 'u.heads', 'head', count)
const keyPlace = (row: string, count: number): string => place('u.keyTime', row, 'u.keyValueHeads', 'keyHead', count)
const statisticsPlace = (row: string): string => `(batch * u.heads + head) * u.queryTime + ${row}`

/** The loops of a query over all that it sees: first the prefix, which stands in front of position 0, then its own row's keys, both from the
 * window's edge on. */
const overKeys = (prefixed: boolean, count: number, visit: (key: string, value: string) => string): string =>
  `${
    prefixed
      ? `for (var j = max(0, u.prefix + position + 1 - u.window); j < u.prefix; j++) {
let at = (j * u.keyValueHeads + keyHead) * ${count};
${visit('prefixKey', 'prefixValue')}
}`
      : ''
  }
for (var j = max(0, position + 1 - u.window); j < min(position + 1, u.keyTime); j++) {
let at = ${keyPlace('j', count)};
${visit('key', 'value')}
}`

/** Heads of `key` and `value` are shared by `heads / keyValueHeads` query heads. Shared rows belong to the first batch entry. */
const queryThread = (position: string): string => `let i = i32(thread.x);
let head = i32(group.y);
let batch = i32(group.z);
if (i >= u.queryTime || (i < u.front && batch > 0)) { return; }
let keyHead = head / (u.heads / u.keyValueHeads);
let position = ${position};`

/** An offset below zero stands for the last real key of each row. */
const LAST = -1

const prefixInputs = (prefixed: boolean) =>
  prefixed ? ({ prefixKey: 'Lane', prefixValue: 'Lane' } as const) : ({} as Record<string, never>)

/**
 * A thread owns one query of one head: query and result stay in registers while keys and values stream by. The running maximum rescales sum and result
 * whenever it grows, so one pass is enough. `statistics` keeps the normaliser, `maximum + log(sum)`, from which the backward pass makes any weight anew.
 */
const forwardProgram = variants('attention', (lanes: Lanes, count: number, prefixed: boolean) => ({
  lanes,
  outputs: { output: 'Lane', statistics: 'vec2<f32>' },
  inputs: { query: 'Lane', key: 'Lane', value: 'Lane', ...prefixInputs(prefixed), lengths: 'i32' },
  uniforms: UNIFORMS,
  workgroup: [THREADS],
  main: `${queryThread('select(u.queryOffset + i, lengths[batch] - 1, u.queryOffset < 0)')}
let own = ${queryPlace('i', count)};
if (position >= lengths[batch]) {
${unroll(count, (n) => `output[own + ${n}] = Lane();`)}
statistics[${statisticsPlace('i')}] = vec2<f32>(${PADDING}, 0.0);
return;
}
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
statistics[${statisticsPlace('i')}] = vec2<f32>(top + log(sum), 0.0);`
}))

/**
 * The gradient of a query, by the thread that owns it. With weight p and its gradient g = dy . v, the score's gradient is p (g - sum(p g)); the sum is known
 * only at the end, so sum(p g k) and sum(p k) run side by side. The sum goes to `statistics` for the gradients of keys and values.
 */
const queryGradientProgram = variants('attentionQueryGradient', (lanes: Lanes, count: number, prefixed: boolean) => ({
  lanes,
  outputs: { output: 'Lane', statistics: 'vec2<f32>' },
  inputs: { query: 'Lane', key: 'Lane', value: 'Lane', ...prefixInputs(prefixed), dy: 'Lane' },
  uniforms: UNIFORMS,
  workgroup: [THREADS],
  main: `${queryThread('u.queryOffset + i')}
let own = ${queryPlace('i', count)};
let normaliser = statistics[${statisticsPlace('i')}].x;
if (normaliser == ${PADDING}) {
${unroll(count, (n) => `output[own + ${n}] = Lane();`)}
return;
}
${unroll(count, (n) => `let q${n} = query[own + ${n}] * u.scale;\nlet d${n} = dy[own + ${n}];\nvar weighted${n} = Lane();\nvar mean${n} = Lane();`)}
var sum = 0.0;
${overKeys(
  prefixed,
  count,
  (key, value) => `var products = Lane();
var gradients = Lane();
${unroll(count, (n) => `let k${n} = ${key}[at + ${n}];\nproducts += q${n} * k${n};\ngradients += d${n} * ${value}[at + ${n}];`)}
let weight = exp(total(products) - normaliser);
let weightedGradient = weight * total(gradients);
sum += weightedGradient;
${unroll(count, (n) => `weighted${n} += weightedGradient * k${n};\nmean${n} += weight * k${n};`)}`
)}
${unroll(count, (n) => `output[own + ${n}] = (weighted${n} - sum * mean${n}) * u.scale;`)}
statistics[${statisticsPlace('i')}] = vec2<f32>(normaliser, sum);`
}))

/** Adds one query's share to a key's and a value's gradient; the key k and value v are in registers, scores by the same formula as above. */
const addQuery = (count: number): string => `let own = ${queryPlace('i', count)};
let known = statistics[${statisticsPlace('i')}];
if (known.x == ${PADDING}) { continue; }
var products = Lane();
var gradients = Lane();
${unroll(count, (n) => `let q${n} = query[own + ${n}];\nlet d${n} = dy[own + ${n}];\nproducts += q${n} * k${n};\ngradients += d${n} * v${n};`)}
let weight = exp(total(products) * u.scale - known.x);
let slope = weight * (total(gradients) - known.y) * u.scale;
${unroll(count, (n) => `keySum${n} += slope * q${n};\nvalueSum${n} += weight * d${n};`)}`

/** Where a batch entry's share of the gradient of shared key `j` begins; that of the value follows all keys: `[batch, 2, shared, keyValueHeads * headSize]`. */
const sharePlace = (which: 0 | 1, count: number): string =>
  `(((batch * 2 + ${which}) * u.front + j) * u.keyValueHeads + keyHead) * ${count}`

/**
 * A thread owns one key and value of one shared head, and goes over the queries that see it, of all heads that share it: every sum has one owner, so
 * there are no atomics and the result never changes. Of a key that all rows share it owns the sum over one row, which `joinProgram` adds up.
 */
const keyGradientProgram = variants('attentionKeyGradient', (lanes: Lanes, count: number, shared: boolean) => ({
  lanes,
  outputs: { keyGradient: 'Lane', valueGradient: 'Lane', ...(shared ? ({ shares: 'Lane' } as const) : ({} as Record<string, never>)) },
  inputs: { query: 'Lane', key: 'Lane', value: 'Lane', statistics: 'vec2<f32>', dy: 'Lane' },
  uniforms: UNIFORMS,
  workgroup: [THREADS],
  main: `let j = i32(thread.x);
let keyHead = i32(group.y);
let batch = i32(group.z);
if (j >= u.keyTime) { return; }
let at = ${keyPlace('j', count)};
${unroll(count, (n) => `let k${n} = key[at + ${n}];\nlet v${n} = value[at + ${n}];\nvar keySum${n} = Lane();\nvar valueSum${n} = Lane();`)}
let sharers = u.heads / u.keyValueHeads;
for (var head = keyHead * sharers; head < (keyHead + 1) * sharers; head++) {
for (var i = max(select(0, u.front, batch > 0), j - u.queryOffset); i < min(u.queryTime, j + u.window - u.queryOffset); i++) {
${addQuery(count)}
}
}
${
  shared
    ? `if (j < u.front) {
${unroll(count, (n) => `shares[${sharePlace(0, count)} + ${n}] = keySum${n};\nshares[${sharePlace(1, count)} + ${n}] = valueSum${n};`)}
return;
}`
    : ''
}
${unroll(count, (n) => `keyGradient[at + ${n}] = keySum${n};\nvalueGradient[at + ${n}] = valueSum${n};`)}`
}))

/** Adds the batch entries' shares of shared keys and values up, a lane a thread. */
const joinProgram = variants('attentionJoin', (lanes: Lanes) => ({
  lanes,
  outputs: { keyGradient: 'Lane', valueGradient: 'Lane' },
  inputs: { shares: 'Lane' },
  uniforms: { batch: 'u32', width: 'u32' },
  workgroup: [WORKGROUP],
  main: `${flatIndex}
if (index >= 2u * u.width) { return; }
var sum = Lane();
for (var row = 0u; row < u.batch; row++) { sum += shares[row * 2u * u.width + index]; }
if (index < u.width) { keyGradient[index] = sum; } else { valueGradient[index - u.width] = sum; }`
}))

/** The same for the prefix, which queries of every row see: a sum for each row, `[batch, prefix, keyValueHeads * headSize]`, joined afterwards. */
const prefixGradientProgram = variants('attentionPrefixGradient', (lanes: Lanes, count: number) => ({
  lanes,
  outputs: { keyGradient: 'Lane', valueGradient: 'Lane' },
  inputs: { query: 'Lane', prefixKey: 'Lane', prefixValue: 'Lane', statistics: 'vec2<f32>', dy: 'Lane' },
  uniforms: UNIFORMS,
  workgroup: [THREADS],
  main: `let j = i32(thread.x);
let keyHead = i32(group.y);
let batch = i32(group.z);
if (j >= u.prefix) { return; }
let at = (j * u.keyValueHeads + keyHead) * ${count};
${unroll(count, (n) => `let k${n} = prefixKey[at + ${n}];\nlet v${n} = prefixValue[at + ${n}];\nvar keySum${n} = Lane();\nvar valueSum${n} = Lane();`)}
let sharers = u.heads / u.keyValueHeads;
for (var head = keyHead * sharers; head < (keyHead + 1) * sharers; head++) {
for (var i = select(0, u.front, batch > 0); i < min(u.queryTime, j - u.prefix + u.window - u.queryOffset); i++) {
${addQuery(count)}
}
}
let rowPlace = batch * u.prefix * u.keyValueHeads * ${count} + at;
${unroll(count, (n) => `keyGradient[rowPlace + ${n}] = keySum${n};\nvalueGradient[rowPlace + ${n}] = valueSum${n};`)}`
}))

type Names = 'query' | 'key' | 'value' | 'statistics'
type Tensors = Record<Names, tf.Tensor> & { prefixKey?: tf.Tensor; prefixValue?: tf.Tensor }

/** What all four programs are told. A window beyond any position means none; it is halved so that sums with it stay in range. */
function uniforms(attributes: AttentionAttributes, prefixKey?: tf.Tensor): number[] {
  const { queryTime, keyTime, queryOffset = keyTime - queryTime, shared = 0, heads, keyValueHeads, window = Infinity, scale } = attributes
  const offset = queryOffset === 'last' ? LAST : queryOffset
  return [queryTime, offset, keyTime, prefixKey?.shape[0] ?? 0, shared, heads, keyValueHeads, Math.min(window, 2 ** 30), scale]
}

function lanesOf({ headSize }: AttentionAttributes): [Lanes, number] {
  const lanes = lanesFor(headSize)
  return [lanes, headSize / lanes]
}

const groupsOver = (items: number, heads: number, batch: number): [number, number, number] => [Math.ceil(items / THREADS), heads, batch]

const operation = fused<AttentionAttributes>({
  name: 'FusedAttention',
  saved: ['query', 'key', 'value', 'prefixKey', 'prefixValue', 'statistics'],
  shape: ({ query }) => (query as tf.Tensor).shape,
  scratch: (_, { batch, heads, queryTime }) => ({ statistics: [batch, heads, queryTime, 2] }),
  forward: (run, output, inputs, attributes) => {
    const { query, key, value, prefixKey, prefixValue, statistics } = inputs as Tensors
    const { batch, heads, queryTime } = attributes
    const lengths = run.upload(attributes.lengths)
    run.run(forwardProgram(...lanesOf(attributes), !!prefixKey), {
      outputs: [output, statistics],
      inputs: [query, key, value, ...(prefixKey && prefixValue ? [prefixKey, prefixValue] : []), lengths],
      uniforms: uniforms(attributes, prefixKey),
      groups: groupsOver(queryTime, heads, batch)
    })
    run.free(lengths)
  },
  gradient: (run, dy, inputs, attributes) => gradients(run, dy, inputs as Tensors, attributes)
})

function gradients(run: Runner, dy: tf.Tensor, tensors: Tensors, attributes: AttentionAttributes): Record<string, () => tf.Tensor> {
  const { query, key, value, prefixKey, prefixValue, statistics } = tensors
  const { batch, heads, keyValueHeads, headSize, queryTime, keyTime, shared = 0, hasFront } = attributes
  const constants = lanesOf(attributes)
  const values = uniforms(attributes, prefixKey)
  const prefix = prefixKey && prefixValue ? [prefixKey, prefixValue] : []
  const dQuery = empty(query.shape)
  const ofQuery = once(() =>
    run.run(queryGradientProgram(...constants, prefix.length > 0), {
      outputs: [dQuery, statistics],
      inputs: [query, key, value, ...prefix, dy],
      uniforms: values,
      groups: groupsOver(queryTime, heads, batch)
    })
  )
  // Shared keys stand in front, so where theirs alone are wanted there are no others.
  const keys = hasFront ? shared : keyTime
  const keyShape = hasFront ? [shared, keyValueHeads * headSize] : key.shape
  const [dKey, dValue] = [empty(keyShape), empty(keyShape)]
  const ofKeys = once(() => {
    ofQuery()
    const width = shared * keyValueHeads * headSize
    const shares = shared > 0 ? [run.allocate([batch, 2 * width])] : []
    run.run(keyGradientProgram(...constants, shared > 0), {
      outputs: [dKey, dValue, ...shares],
      inputs: [query, key, value, statistics, dy],
      uniforms: hasFront ? uniforms({ ...attributes, queryOffset: 0, keyTime: keys }, prefixKey) : values,
      groups: groupsOver(keys, keyValueHeads, batch)
    })
    if (shared === 0) return
    const [lanes] = constants
    run.run(joinProgram(lanes), {
      outputs: [dKey, dValue],
      inputs: shares,
      uniforms: [batch, width / lanes],
      groups: run.grid((2 * width) / lanes)
    })
    run.free(...shares)
  })
  const ofOwnQuery = (): tf.Tensor => {
    ofQuery()
    return hasFront ? tf.slice(dQuery, [0, 0], [shared, -1]) : dQuery
  }
  const ofKey = (gradient: tf.Tensor) => () => {
    ofKeys()
    return gradient
  }
  const own: Record<string, () => tf.Tensor> = hasFront
    ? { frontQuery: ofOwnQuery, frontKey: ofKey(dKey), frontValue: ofKey(dValue) }
    : { query: ofOwnQuery, key: ofKey(dKey), value: ofKey(dValue) }
  if (!prefixKey || !prefixValue) return own
  const [dPrefixKey, dPrefixValue] = [empty(prefixKey.shape), empty(prefixValue.shape)]
  const ofPrefix = once(() => {
    ofQuery()
    const byRow = [run.allocate([batch, prefixKey.size]), run.allocate([batch, prefixKey.size])] as const
    run.run(prefixGradientProgram(...constants), {
      outputs: byRow,
      inputs: [query, prefixKey, prefixValue, statistics, dy],
      uniforms: values,
      groups: groupsOver(prefixKey.shape[0] as number, keyValueHeads, batch)
    })
    columnSums(run, plainColumnSum, dPrefixKey, [byRow[0]], batch, prefixKey.size)
    columnSums(run, plainColumnSum, dPrefixValue, [byRow[1]], batch, prefixKey.size)
    run.free(...byRow)
  })
  return {
    ...own,
    prefixKey: () => {
      ofPrefix()
      return dPrefixKey
    },
    prefixValue: () => {
      ofPrefix()
      return dPrefixValue
    }
  }
}

/** `attention` in one dispatch, its gradients in two, one more for shared positions and three for a prefix; see `../attention`. Padding rows are zero. */
export function attentionFused({ query, key, value, prefix, front, ...attributes }: AttentionInputs): tf.Tensor2D {
  const frontInputs = front && { frontQuery: front.query, frontKey: front.key, frontValue: front.value }
  const inputs = { query, key, value, prefixKey: prefix?.key, prefixValue: prefix?.value, ...frontInputs }
  return operation(inputs, { ...attributes, hasFront: front !== undefined }) as tf.Tensor2D
}
