// Attention whose shared rows alone are differentiated: the result and their gradients are those of attention with all rows differentiated.
import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, test } from 'vitest'
import { attention, type AttentionInputs } from '../../src/engine/kernels/attention'
import { detached } from '../../src/engine/kernels/detached'
import { runner } from '../../src/engine/kernels/webgpu/run'
import { backends, useBackend } from './backend'
import { difference, normal, stream } from './fusedHarness'

const [BATCH, TIME, SHARED] = [3, 9, 5]
const plain = { batch: BATCH, queryTime: TIME, keyTime: TIME, shared: SHARED, heads: 4, keyValueHeads: 4, headSize: 8, scale: 0.35 }
type Shape = Partial<Pick<AttentionInputs, 'keyValueHeads' | 'headSize' | 'window'>>

describe.each(backends)('%s', (backend) => {
  beforeAll(() => useBackend(backend))

  const cases: { name: string; shape: Shape; prefix: number }[] = [
    { name: 'rows of several lengths', shape: {}, prefix: 0 },
    { name: 'grouped heads and a window', shape: { keyValueHeads: 2, window: 4 }, prefix: 0 },
    { name: 'an odd head size and a prefix', shape: { keyValueHeads: 1, headSize: 6 }, prefix: 2 }
  ]
  test.each(cases)('$name', async ({ shape, prefix }) => {
    const sizes = { ...plain, ...shape, lengths: Int32Array.of(9, 6, 7) }
    const next = stream(4)
    const rows = SHARED + BATCH * (TIME - SHARED)
    const widths = [sizes.heads, sizes.keyValueHeads, sizes.keyValueHeads].map((heads) => heads * sizes.headSize)
    const whole = widths.map((width) => normal([rows, width], next) as tf.Tensor2D)
    const front = whole.map((tensor) => tf.slice(tensor, [0, 0], [SHARED, -1]) as tf.Tensor2D)
    const before = Array.from({ length: prefix ? 2 : 0 }, () => normal([prefix, widths[1]!], next) as tf.Tensor2D)
    const named = ([query, key, value]: tf.Tensor[]) => ({ query, key, value }) as Record<'query' | 'key' | 'value', tf.Tensor2D>
    const inFront = ([key, value]: tf.Tensor[]) => (key && value ? { key: key as tf.Tensor2D, value: value as tf.Tensor2D } : undefined)
    const all = (...given: tf.Tensor[]) => attention({ ...sizes, ...named(given), prefix: inFront(given.slice(3)) })
    const some = (...given: tf.Tensor[]) =>
      attention({ ...sizes, ...named(whole.map(detached)), front: named(given), prefix: inFront(given.slice(3)) })
    // Padding has no gradient of its own.
    const real = [...Array<number>(SHARED).fill(1), ...[...sizes.lengths].flatMap((length) => [5, 6, 7, 8].map((at) => +(at < length)))]
    const dy = tf.mul(normal([rows, widths[0]!], next), tf.tensor2d(real, [rows, 1]))
    const wanted = tf.grads(all)([...whole, ...before], dy)
    const tensors = tf.memory().numTensors
    const got = tf.grads(some)([...front, ...before], dy)
    for (const [at, gradient] of got.entries()) {
      const expected = at < 3 ? tf.slice(wanted[at]!, [0, 0], [SHARED, -1]) : wanted[at]!
      expect(await difference(gradient, expected), `gradient ${at}`).toBeLessThan(1e-5)
      if (at < 3) expected.dispose()
    }
    tf.dispose(got)
    expect(tf.memory().numTensors).toBe(tensors)
    tf.dispose([whole, front, before, dy, wanted])
  })
})

test('no thread asks for the gradients of other keys', async () => {
  await useBackend('webgpu')
  const next = stream(4)
  const [long, front] = [200, SHARED].map((rows) => normal([rows, 32], next) as tf.Tensor2D)
  const run = runner()
  const record = run.run.bind(run)
  const groups: number[] = []
  run.run = (program, dispatch) => {
    if (program.key.startsWith('attentionKeyGradient')) groups.push(dispatch.groups[0])
    record(program, dispatch)
  }
  const sizes = { ...plain, queryTime: 200, keyTime: 200, batch: 1, lengths: Int32Array.of(200) }
  const gradient = tf.grad((given: tf.Tensor) => {
    const [all, some] = [detached(long!), given as tf.Tensor2D]
    return attention({ ...sizes, query: all, key: all, value: all, front: { query: some, key: some, value: some } })
  })(front!)
  delete (run as Partial<typeof run>).run
  expect(groups).toEqual([1])
  tf.dispose([long!, front!, gradient])
})
