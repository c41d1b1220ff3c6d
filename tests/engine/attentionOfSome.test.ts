// Attention of some queries alone: results and gradients are those that they have among all queries, on every backend and in both forms.
import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, test } from 'vitest'
import { attention, attentionComposed, type AttentionInputs } from '../../src/engine/kernels/attention'
import { gatherRows } from '../../src/engine/kernels/gatherRows'
import { attentionOfSomeFused } from '../../src/engine/kernels/webgpu/attentionOfSome'
import { runner } from '../../src/engine/kernels/webgpu/run'
import { backends, useBackend } from './backend'
import { difference, expectSame, normal, stream } from './fusedHarness'

type Shape = Omit<AttentionInputs, 'query' | 'key' | 'value' | 'prefix' | 'lengths' | 'queryTime' | 'keyTime'>
type Operation = (query: tf.Tensor, ...others: tf.Tensor[]) => tf.Tensor

const TIME = 7
const plain = { batch: 3, heads: 4, keyValueHeads: 4, headSize: 8, scale: 0.35 }

const CASES: { name: string; shape: Shape; queries: number[]; time?: number; prefix?: number }[] = [
  { name: 'at several places, twice, or none of a row', shape: plain, queries: [20, 3, 3, 14] },
  { name: 'none but of the last row', shape: plain, queries: [19] },
  { name: 'with grouped heads and a window', shape: { ...plain, keyValueHeads: 2, window: 3 }, queries: [0, 13, 7, 8, 9] },
  { name: 'with a prefix and a window', shape: { ...plain, window: 5 }, queries: [19, 1], prefix: 3 },
  { name: 'behind shared positions, and of them', shape: { ...plain, shared: 3 }, queries: [3, 14, 13, 7, 2] },
  {
    name: 'behind shared positions and a prefix, with an odd head size, grouped heads and a window',
    shape: { ...plain, shared: 4, keyValueHeads: 1, headSize: 6, window: 5 },
    queries: [8, 6, 1, 6],
    prefix: 2
  },
  { name: 'more than a workgroup has threads', shape: plain, queries: [...Array(40).keys()], time: 50 }
]

function example({ heads, keyValueHeads, headSize, batch, shared = 0 }: Shape, queries: number, time: number, prefix = 0): tf.Tensor[] {
  const next = stream(11)
  const width = keyValueHeads * headSize
  const rows = shared + batch * (time - shared)
  const own = [normal([queries, heads * headSize], next), normal([rows, width], next), normal([rows, width], next)]
  return prefix ? [...own, normal([prefix, width], next), normal([prefix, width], next)] : own
}

const call =
  (form: (inputs: AttentionInputs & { queries: Int32Array }) => tf.Tensor2D, shape: Shape, time: number, queries?: Int32Array): Operation =>
  (query, ...[key, value, prefixKey, prefixValue]) =>
    form({
      ...shape,
      queryTime: time,
      keyTime: time,
      lengths: new Int32Array(shape.batch).fill(time),
      queries: queries as Int32Array,
      query: query as tf.Tensor2D,
      key: key as tf.Tensor2D,
      value: value as tf.Tensor2D,
      prefix: prefixKey && { key: prefixKey as tf.Tensor2D, value: prefixValue as tf.Tensor2D }
    })

describe.each(backends)('%s', (backend) => {
  beforeAll(() => useBackend(backend))

  test.each(CASES)('queries $name', async ({ shape, queries: listed, time = TIME, prefix }) => {
    const queries = Int32Array.from(listed)
    const rows = (shape.shared ?? 0) + shape.batch * (time - (shape.shared ?? 0))
    const tensors = example(shape, rows, time, prefix) as [tf.Tensor, ...tf.Tensor[]]
    const among: Operation = (...inputs) => gatherRows(call(attention, shape, time)(...inputs) as tf.Tensor2D, queries)
    const alone: Operation = (query, ...others) =>
      call(attention, shape, time, queries)(gatherRows(query as tf.Tensor2D, queries), ...others)
    const dy = normal([queries.length, shape.heads * shape.headSize], stream(9))
    const wanted = [among(...tensors), ...tf.grads(among as () => tf.Tensor)(tensors, dy)]
    const got = [alone(...tensors), ...tf.grads(alone as () => tf.Tensor)(tensors, dy)]
    for (const [at, tensor] of got.entries()) expect(await difference(tensor, wanted[at]!), `result or gradient ${at}`).toBeLessThan(1e-5)
    tf.dispose([tensors, dy, wanted, got])
  })
})

describe('fused', () => {
  beforeAll(() => useBackend('webgpu'))

  test.each(CASES)('queries $name give what the composed form gives', async ({ shape, queries: listed, time = TIME, prefix }) => {
    const queries = Int32Array.from(listed)
    const tensors = example(shape, queries.length, time, prefix)
    const forms = [attentionOfSomeFused, attentionComposed].map((form) => call(form, shape, time, queries))
    await expectSame(forms[0] as () => tf.Tensor, forms[1] as () => tf.Tensor, tensors)
    tf.dispose(tensors)
  })

  test('it takes one dispatch forward and two back, and one more for a prefix', () => {
    const run = runner()
    for (const prefix of [0, 2]) {
      const tensors = example({ ...plain, shared: 2 }, 1, TIME, prefix)
      const before = run.dispatches
      const gradients = tf.grads(call(attentionOfSomeFused, { ...plain, shared: 2 }, TIME, Int32Array.of(9)) as () => tf.Tensor)(tensors)
      expect(run.dispatches - before).toBe(prefix ? 4 : 3)
      tf.dispose([tensors, gradients])
    }
  })
})
