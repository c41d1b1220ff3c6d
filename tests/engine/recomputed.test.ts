// What is computed again is not kept for the way back, and the gradients are the same to the bit.
import * as tf from '@tensorflow/tfjs'
import { beforeAll, expect, test } from 'vitest'
import { cheap, modelBlock, valueAndGradients } from '../../src/engine/kernels/gradients'
import { linear } from '../../src/engine/kernels/linear'
import type { Batch } from '../../src/engine/model/batch'
import { rmsNorm } from '../../src/engine/kernels/rmsNorm'
import { normal, startFused, stream } from './fusedHarness'
import { tinyDecoder, tinyGptNeo, tinyLlama } from './tinyModel'
import { alive } from './tinyRace'

const [rows, width, blocks] = [32, 16, 3]

beforeAll(startFused)

test('a block keeps what goes into a norm and not what comes out, also where several products read it', async () => {
  const next = stream(1)
  const x = normal([rows, width], next) as tf.Tensor2D
  const gain = normal([width], next) as tf.Tensor1D
  const weights = Array.from({ length: 2 * blocks }, () => normal([width, width], next) as tf.Tensor2D)
  const before = alive()
  const run = (spares: boolean) => {
    let kept = 0
    const norm = (states: tf.Tensor2D): tf.Tensor2D => rmsNorm(states, gain, 1e-5)
    const { value, gradients } = valueAndGradients(() => {
      let y = x
      for (let block = 0; block < blocks; block++) {
        const states = y
        y = modelBlock((input) => {
          const normed = spares ? cheap(norm, input) : norm(input)
          const first = linear({ x: normed, weight: weights[2 * block]! })
          return linear({ x: normed, weight: weights[2 * block + 1]!, residual: first })
        }, states)
        if (states !== x) states.dispose()
      }
      kept = tf.memory().numBytes
      return tf.sum<tf.Scalar>(tf.square(y))
    }, [gain, ...weights])
    return { kept, tensors: [value, ...gradients] }
  }
  const [plain, spared] = [run(false), run(true)]
  const [wanted, got] = [plain, spared].map(({ tensors }) => Promise.all(tensors.map((tensor) => tensor.data())))
  expect(await got).toEqual(await wanted)
  // The second run begins with the first one's results alive.
  const results = plain.tensors.reduce((sum, { size }) => sum + 4 * size, 0)
  expect(plain.kept + results - spared.kept).toBe(blocks * rows * width * 4)
  tf.dispose([plain.tensors, spared.tensors])
  expect(alive()).toEqual(before)
  // Where a loss fails on the way, nothing stays.
  expect(() =>
    valueAndGradients(() => {
      modelBlock((input) => linear({ x: cheap((states: tf.Tensor2D) => rmsNorm(states, gain, 1e-5), input), weight: weights[0]! }), x)
      throw new Error('no loss')
    }, [gain, weights[0]!])
  ).toThrow('no loss')
  expect(alive()).toEqual(before)
  tf.dispose([x, gain, weights])
})

test.each([
  { name: 'gated', config: tinyLlama, inner: 2 * 28 },
  { name: 'plain', config: tinyGptNeo, inner: 80 }
])(
  'a $name feed-forward that is computed again keeps nothing of what rises, and gives the same gradients to the bit',
  async ({ config, inner }) => {
    const decoder = await tinyDecoder(config)
    const copies = new Map(decoder.weightNames.map((name) => [name, decoder.copyOf(name)]))
    const [size, time, first] = [3, 5, 1]
    const batch: Batch = {
      size,
      time,
      inputIds: Int32Array.from({ length: size * time }, (_, at) => (7 * at) % 50),
      lengths: Int32Array.of(5, 3, 4),
      labelRows: Int32Array.of(4, 7, 13),
      labelIds: Int32Array.of(9, 3, 1),
      labelWeights: Float32Array.of(0.5, 0.25, 0.25)
    }
    const run = (computedAgain: number) => {
      let kept = 0
      const { value, gradients } = valueAndGradients(() => {
        const begin = tf.memory().numBytes
        const loss = decoder.loss(batch, { weight: (name) => copies.get(name) }, { computedAgain })
        kept = tf.memory().numBytes - begin
        return loss
      }, [...copies.values()])
      return { kept, tensors: [value, ...gradients] }
    }
    // What the decoder makes once, as its rotary tables, is made here.
    tf.dispose(run(0).tensors)
    const before = alive()
    const [plain, again] = [run(0), run(first)]
    const [wanted, got] = [plain, again].map(({ tensors }) => Promise.all(tensors.map((tensor) => tensor.data())))
    expect(await got).toEqual(await wanted)
    // TensorFlow.js counts each twice: for the activation's gradient, and for what computes the activation again.
    expect(plain.kept - again.kept).toBe(2 * 4 * size * time * inner)
    tf.dispose([plain.tensors, again.tensors])
    expect(alive()).toEqual(before)
    tf.dispose([...copies.values()])
    decoder.dispose()
  }
)
