// The programs of causal attention and its gradients: softmax runs along without a matrix of scores, and is computed again on the way back (Dao 2022).
import {
  keyPlace,
  ownRows,
  PADDING,
  prefixPlace,
  queryPlace,
  rowsOf,
  statisticsPlace,
  teamOf,
  UNIFORMS,
  type Team,
  type TeamKind
} from './attentionParts'
import { unroll, variants, type Lanes } from './program'
import { flatIndex, WORKGROUP } from './run'

/** Queries, or keys, of one head that a workgroup's threads stand on. */
export const THREADS = 32

/** The loops of a team's queries over all that they see: first the prefix, which stands in front of position 0, then their own row's keys, both from
 * the window's edge on. */
const overKeys = (prefixed: boolean, end: string, visit: (key: string, value: string, place: string, position: string) => string): string =>
  `${
    prefixed
      ? `for (var j = max(0, u.prefix + offset + first + 1 - window); j < u.prefix; j++) {
${visit('prefixKey', 'prefixValue', prefixPlace('j'), 'j - u.prefix')}
}`
      : ''
  }
for (var j = max(0, offset + first + 1 - window); j < min(offset + last + 1, ${end}); j++) {
${visit('key', 'value', keyPlace('j'), 'j')}
}`

/** Heads of `key` and `value` are shared by `heads / keyValueHeads` query heads. Shared rows belong to the first batch entry. */
const ownQueries = (team: Team): string => `${team.begin}
let head = i32(group.y);
let batch = i32(group.z);
${ownRows(team, 'select(0, u.front, batch > 0)', 'u.queryTime')}
let keyHead = head / (u.heads / u.keyValueHeads);
${team.own('own', queryPlace)}`

const prefixInputs = (prefixed: boolean, count: number) =>
  prefixed ? ({ prefixKey: rowsOf(count), prefixValue: rowsOf(count) } as const) : ({} as Record<string, never>)

/**
 * A thread owns one query of one head: query and result stay in registers while keys and values stream by. The running maximum rescales sum and result
 * whenever it grows, so one pass is enough. `statistics` keeps the normaliser, `maximum + log(sum)`, from which the backward pass makes any weight anew.
 */
export const forwardProgram = variants('attention', (kind: TeamKind, lanes: Lanes, count: number, prefixed: boolean) => {
  const team = teamOf(kind, count)
  const element = rowsOf(count)
  return {
    lanes,
    subgroups: kind === 'quad',
    outputs: { output: element, statistics: 'vec2<f32>' },
    inputs: { query: element, key: element, value: element, ...prefixInputs(prefixed, count), lengths: 'i32' },
    uniforms: UNIFORMS,
    workgroup: [THREADS],
    declarations: team.declarations,
    main: `${ownQueries(team)}
let length = lengths[batch];
let offset = select(u.queryOffset, length - 1, u.queryOffset < 0);
let position = offset + row;
// Padding sees nothing.
let window = select(u.window, 0, offset + first >= length);
${team.load('q', 'query', 'own', 'u.scale')}
${team.sums('mixed')}
var top = -1e30;
var sum = 0.0;
${overKeys(
  prefixed,
  'length',
  (key, value, place, keyPosition) => `let at = ${place};
${team.visit('k', key, 'at')}
let score = ${team.seen(team.product('q', 'k'), '-1e30', `position - (${keyPosition})`)};
let higher = max(top, score);
let shrink = exp(top - higher);
let weight = exp(score - higher);
top = higher;
sum = sum * shrink + weight;
let shrinks = ${team.spread('shrink')};
let weights = ${team.spread('weight')};
${team.visit('v', value, 'at')}
${unroll(count, (n) => `${team.register('mixed', n)} = ${team.register('mixed', n)} * shrinks + weights * v${n};`)}`
)}
let isReal = position < length;
let shares = ${team.spread('select(0.0, 1.0 / sum, isReal)')};
${team.store('output', 'own', (n) => `${team.register('mixed', n)} * shares`)}
if (first + lane <= last) { statistics[${statisticsPlace('row')}] = vec2<f32>(select(${PADDING}, top + log(sum), isReal), 0.0); }`
  }
})

/**
 * The gradient of a query, by the thread that owns it. With weight p and its gradient g = dy . v, the score's gradient is p (g - sum(p g)); the sum is known
 * only at the end, so sum(p g k) and sum(p k) run side by side. The sum goes to `statistics` for the gradients of keys and values.
 */
export const queryGradientProgram = variants('attentionQueryGradient', (kind: TeamKind, lanes: Lanes, count: number, prefixed: boolean) => {
  const team = teamOf(kind, count)
  const element = rowsOf(count)
  return {
    lanes,
    subgroups: kind === 'quad',
    outputs: { output: element, statistics: 'vec2<f32>' },
    inputs: { query: element, key: element, value: element, ...prefixInputs(prefixed, count), dy: element },
    uniforms: UNIFORMS,
    workgroup: [THREADS],
    declarations: team.declarations,
    main: `${ownQueries(team)}
let offset = u.queryOffset;
let position = offset + row;
let normaliser = statistics[${statisticsPlace('row')}].x;
let window = select(u.window, 0, statistics[${statisticsPlace('first')}].x == ${PADDING});
${team.load('q', 'query', 'own', 'u.scale')}
${team.load('d', 'dy', 'own')}
${team.sums('weighted', 'mean')}
var sum = 0.0;
${overKeys(
  prefixed,
  'u.keyTime',
  (key, value, place, keyPosition) => `let at = ${place};
${team.visit('k', key, 'at')}
${team.visit('v', value, 'at')}
let weight = ${team.seen(`exp(${team.product('q', 'k')} - normaliser)`, '0.0', `position - (${keyPosition})`)};
let weightedGradient = weight * ${team.product('d', 'v')};
sum += weightedGradient;
let slopes = ${team.spread('weightedGradient')};
let weights = ${team.spread('weight')};
${unroll(count, (n) => `${team.register('weighted', n)} += slopes * k${n};\n${team.register('mean', n)} += weights * k${n};`)}`
)}
let sums = ${team.spread('sum')};
${team.store('output', 'own', (n) => `(${team.register('weighted', n)} - sums * ${team.register('mean', n)}) * u.scale`)}
if (first + lane <= last) { statistics[${statisticsPlace('row')}] = vec2<f32>(normaliser, sum); }`
  }
})

/** Where a batch entry's share of the gradient of a shared key begins; that of the value follows all keys: `[batch, 2, shared, keyValueHeads * headSize]`. */
const sharePlace =
  (which: 0 | 1) =>
  (row: string): string =>
    `(((batch * 2 + ${which}) * u.front + ${row}) * u.keyValueHeads + keyHead)`

/** Where a batch entry's share of the gradient of a prefix key, or value, begins: `[batch, prefix, keyValueHeads * headSize]`. */
const prefixSharePlace = (row: string): string => `batch * u.prefix * u.keyValueHeads + ${prefixPlace(row)}`

/**
 * A thread owns one key and value of one shared head, and goes over the queries that see it, of all heads that share it: every sum has one owner, so
 * there are no atomics and the result never changes. Of a key that all rows share it owns the sum over one row, which `joinProgram` adds up; of the `prefix`,
 * which queries of every row see, likewise.
 */
export const keyGradientProgram = variants(
  'attentionKeyGradient',
  (kind: TeamKind, lanes: Lanes, count: number, keys: 'own' | 'shared' | 'prefix') => {
    const team = teamOf(kind, count)
    const { size } = team
    const element = rowsOf(count)
    const ofPrefix = keys === 'prefix'
    const storeSums = (key: string, keyOwn: string, value: string, valueOwn: string): string =>
      `${team.store(key, keyOwn, (n) => team.register('keySum', n))}\n${team.store(value, valueOwn, (n) => team.register('valueSum', n))}`
    /** Teams of shared keys come first, so that none has keys of both sorts. */
    const rows = {
      own: ownRows(team, '0', 'u.keyTime'),
      shared: `let frontTeams = (u.front + ${size - 1}) / ${size};
let isShared = team < frontTeams;
let end = select(u.keyTime, u.front, isShared);
${ownRows(team, `select(u.front - frontTeams * ${size}, 0, isShared)`, 'end')}`,
      prefix: ownRows(team, '0', 'u.prefix')
    }[keys]
    const store = {
      own: storeSums('keyGradient', 'own', 'valueGradient', 'own'),
      shared: `if (isShared) {
${team.own('keyShare', sharePlace(0))}
${team.own('valueShare', sharePlace(1))}
${storeSums('shares', 'keyShare', 'shares', 'valueShare')}
} else {
${storeSums('keyGradient', 'own', 'valueGradient', 'own')}
}`,
      prefix: `${team.own('share', prefixSharePlace)}
${storeSums('keyGradient', 'share', 'valueGradient', 'share')}`
    }[keys]
    return {
      lanes,
      subgroups: kind === 'quad',
      outputs: {
        keyGradient: element,
        valueGradient: element,
        ...(keys === 'shared' ? { shares: element } : ({} as Record<string, never>))
      },
      inputs: { query: element, key: element, value: element, statistics: 'vec2<f32>', dy: element },
      uniforms: UNIFORMS,
      workgroup: [THREADS],
      declarations: team.declarations,
      main: `${team.begin}
let keyHead = i32(group.y);
let batch = i32(group.z);
${rows}
let offset = u.queryOffset${ofPrefix ? ' + u.prefix' : ''};
${team.own('own', ofPrefix ? prefixPlace : keyPlace)}
${team.load('k', 'key', 'own')}
${team.load('v', 'value', 'own')}
${team.sums('keySum', 'valueSum')}
let sharers = u.heads / u.keyValueHeads;
for (var head = keyHead * sharers; head < (keyHead + 1) * sharers; head++) {
for (var i = max(select(0, u.front, batch > 0), first - offset); i < min(u.queryTime, last + u.window - offset); i++) {
let known = statistics[${statisticsPlace('i')}];
if (known.x == ${PADDING}) { break; }
let at = ${queryPlace('i')};
${team.visit('q', 'query', 'at')}
${team.visit('d', 'dy', 'at')}
let weight = ${team.seen(`exp(${team.product('k', 'q')} * u.scale - known.x)`, '0.0', 'offset + i - row')};
let slope = weight * (${team.product('v', 'd')} - known.y) * u.scale;
let slopes = ${team.spread('slope')};
let weights = ${team.spread('weight')};
${unroll(count, (n) => `${team.register('keySum', n)} += slopes * q${n};\n${team.register('valueSum', n)} += weights * d${n};`)}
}
}
${store}`
    }
  }
)

/** Adds the batch entries' shares of shared keys and values up, a lane a thread. */
export const joinProgram = variants('attentionJoin', (lanes: Lanes) => ({
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
