// The fused update and gradient norm against their composed forms.
import * as tf from '@tensorflow/tfjs'
import { beforeAll, expect, test } from 'vitest'
import { adamwComposed, type AdamwInputs } from '../../src/engine/kernels/adamw'
import { globalNormComposed } from '../../src/engine/kernels/globalNorm'
import { adamwFused } from '../../src/engine/kernels/webgpu/adamw'
import { globalNormFused } from '../../src/engine/kernels/webgpu/globalNorm'
import { runner } from '../../src/engine/kernels/webgpu/run'
import { difference, normal, startFused, stream } from './fusedHarness'

beforeAll(startFused)

function example(shape: number[], scale = 0.5): AdamwInputs {
  const next = stream(shape.length + shape[0]!)
  return {
    parameter: normal(shape, next),
    gradient: normal(shape, next),
    firstMoment: normal(shape, next),
    secondMoment: tf.square(normal(shape, next)),
    learningRate: 0.01,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weightDecay: 0.1,
    step: 3,
    gradientScale: tf.scalar(scale)
  }
}

const tensorsOf = ({
  parameter,
  firstMoment,
  secondMoment
}: Pick<AdamwInputs, 'parameter' | 'firstMoment' | 'secondMoment'>): tf.Tensor[] => [parameter, firstMoment, secondMoment]

for (const shape of [[5], [3, 7], [40, 60]]) {
  test(`an update of ${shape.join(' x ')}, to new tensors and in place`, async () => {
    const inputs = example(shape)
    const before = await Promise.all(tensorsOf(inputs).map(async (tensor) => (await tensor.data()).slice()))
    const wanted = tensorsOf(tf.tidy(() => adamwComposed(inputs) as never))
    const fresh = tensorsOf(adamwFused(inputs))
    for (const [at, tensor] of wanted.entries()) {
      expect(await difference(fresh[at]!, tensor)).toBeLessThan(1e-6)
      expect(await tensorsOf(inputs)[at]!.data(), 'the input').toEqual(before[at])
    }
    const buffers = tf.memory().numDataBuffers
    const same = tensorsOf(adamwFused({ ...inputs, overwrite: true }))
    expect(tf.memory().numDataBuffers).toBe(buffers)
    tf.dispose(tensorsOf(inputs))
    for (const [at, tensor] of wanted.entries()) expect(await difference(same[at]!, tensor)).toBeLessThan(1e-6)
    tf.dispose([wanted, fresh, same, inputs.gradient, inputs.gradientScale])
  })
}

for (const scale of [NaN, Infinity]) {
  test(`in place, a scale of ${scale} changes nothing`, async () => {
    const inputs = example([3, 4], scale)
    const before = await Promise.all(tensorsOf(inputs).map(async (tensor) => (await tensor.data()).slice()))
    const same = tensorsOf(adamwFused({ ...inputs, overwrite: true }))
    for (const [at, tensor] of same.entries()) expect(await tensor.data()).toEqual(before[at])
    tf.dispose([same, tensorsOf(inputs), inputs.gradient, inputs.gradientScale])
  })
}

test('the norm of many tensors of many sizes, in few dispatches', async () => {
  const next = stream(7)
  const sizes = [3, 20000, 16, 129, 4096, 1, 8, 40, 77, 12, 64, 128, 256, 512, 9000]
  const tensors = sizes.map((size) => normal([size], next))
  const run = runner()
  const before = run.dispatches
  const norm = globalNormFused(tensors)
  expect(run.dispatches - before).toBe(4)
  const wanted = tf.tidy(() => globalNormComposed(tensors))
  expect(await difference(norm, wanted)).toBeLessThan(1e-6)
  const whole = tensors.filter(({ size }) => size % 4 === 0)
  const [some, wantedSome] = [globalNormFused(whole), tf.tidy(() => globalNormComposed(whole))]
  expect(await difference(some, wantedSome)).toBeLessThan(1e-6)
  tf.dispose([tensors, norm, wanted, some, wantedSome])
})
