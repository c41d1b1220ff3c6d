// Causal attention on the tape: which programs run for it and for its gradients, over how many threads.
import * as tf from '@tensorflow/tfjs'
import type { AttentionInputs } from '../attention'
import { columnSums, plainColumnSum } from './columnSums'
import { empty, fused, once } from './fused'
import { forwardProgram, joinProgram, keyGradientProgram, queryGradientProgram, THREADS } from './attentionPrograms'
import type { TeamKind } from './attentionParts'
import { lanesFor, type Lanes } from './program'
import type { Runner } from './run'

type AttentionAttributes = Omit<AttentionInputs, 'query' | 'key' | 'value' | 'prefix' | 'front'> & {
  hasFront: boolean
  team?: TeamKind
}

/** An offset below zero stands for the last real key of each row. */
const LAST = -1

type Names = 'query' | 'key' | 'value' | 'statistics'
type Tensors = Record<Names, tf.Tensor> & { prefixKey?: tf.Tensor; prefixValue?: tf.Tensor }

/** What all four programs are told. A window beyond any position means none; it is halved so that sums with it stay in range. */
function uniforms(attributes: AttentionAttributes, prefixKey?: tf.Tensor): number[] {
  const { queryTime, keyTime, queryOffset = keyTime - queryTime, shared = 0, heads, keyValueHeads, window = Infinity, scale } = attributes
  const offset = queryOffset === 'last' ? LAST : queryOffset
  return [queryTime, offset, keyTime, prefixKey?.shape[0] ?? 0, shared, heads, keyValueHeads, Math.min(window, 2 ** 30), scale]
}

/** What the programs are made for. Processors pay for each read, so four threads read together where they can; GPUs have caches for that. */
function constantsOf({ software, subgroups }: Runner, { headSize, team }: AttentionAttributes): [TeamKind, Lanes, number] {
  const lanes = lanesFor(headSize)
  const fitting = software && subgroups && lanes === 4 ? 'quad' : 'alone'
  return [team ?? fitting, lanes, headSize / lanes]
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
    run.run(forwardProgram(...constantsOf(run, attributes), !!prefixKey), {
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
  const constants = constantsOf(run, attributes)
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
    run.run(keyGradientProgram(...constants, shared > 0 ? 'shared' : 'own'), {
      outputs: [dKey, dValue, ...shares],
      inputs: [query, key, value, statistics, dy],
      uniforms: hasFront ? uniforms({ ...attributes, queryOffset: 0, keyTime: keys }, prefixKey) : values,
      // Shared keys and the others have teams of their own, of which the last may be short.
      groups: groupsOver(shared > 0 ? keys + 4 : keys, keyValueHeads, batch)
    })
    if (shared === 0) return
    const lanes = constants[1]
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
    run.run(keyGradientProgram(...constants, 'prefix'), {
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

/**
 * `attention` in one dispatch, its gradients in two, one more for shared positions and three for a prefix; see `../attention`. Padding rows are zero. `team` is
 * the device's choice where it is absent; quads need subgroups and heads of whole quads.
 */
export function attentionFused({ query, key, value, prefix, front, ...attributes }: AttentionInputs, team?: TeamKind): tf.Tensor2D {
  const frontInputs = front && { frontQuery: front.query, frontKey: front.key, frontValue: front.value }
  const inputs = { query, key, value, prefixKey: prefix?.key, prefixValue: prefix?.value, ...frontInputs }
  return operation(inputs, { ...attributes, hasFront: front !== undefined, team }) as tf.Tensor2D
}
