// Preparing a step: what it would run is compiled, ours and TensorFlow.js's, and nothing of it is run.
import * as tf from '@tensorflow/tfjs'
import { beforeAll, expect, test } from 'vitest'
import { valueAndGradients } from '../../src/engine/kernels/gradients'
import { linear } from '../../src/engine/kernels/linear'
import { swiglu } from '../../src/engine/kernels/swiglu'
import { runner } from '../../src/engine/kernels/webgpu/run'
import { normal, startFused, stream } from './fusedHarness'

beforeAll(startFused)

test('a step that was prepared compiles nothing, and preparing dispatches and leaves nothing', async () => {
  const next = stream(3)
  const [x, weight] = [normal([5, 8], next) as tf.Tensor2D, normal([12, 8], next) as tf.Tensor2D]
  const step = (): tf.Scalar => {
    const { value, gradients } = valueAndGradients(() => {
      const y = linear({ x, weight })
      // An operation of TensorFlow.js, on tensors that have no contents while the step is prepared.
      return tf.sum<tf.Scalar>(tf.mul(swiglu(y, tf.add(y, y)), 3))
    }, [weight])
    tf.dispose(gradients)
    return value
  }
  const run = runner()
  const { dispatches } = run
  const tensors = tf.memory().numTensors
  await run.prepare(() => step().dispose())
  expect(run.dispatches).toBe(dispatches)
  expect(tf.memory().numTensors).toBe(tensors)
  const { compiledPrograms } = run
  expect(compiledPrograms).toBeGreaterThanOrEqual(4)
  const value = step()
  expect(Number.isFinite((await value.data())[0])).toBe(true)
  expect(run.compiledPrograms).toBe(compiledPrograms)
  expect(run.dispatches).toBeGreaterThan(dispatches)
  tf.dispose([x, weight, value])
})

test('what preparing uploads never lands in a buffer that is filled anew behind it', async () => {
  const run = runner()
  const size = 1 << 12
  const filled = (value: number): tf.Tensor1D => tf.tensor1d(new Float32Array(size).fill(value))
  // Buffers of this size wait in the pool: a tensor of the host that takes one is copied to it by a queued command.
  const earlier = [1, 2, 3, 4].map((value) => tf.tidy(() => tf.square(filled(value))))
  await Promise.all(earlier.map((tensor) => tensor.data()))
  tf.dispose(earlier)
  const expected = Float32Array.from({ length: size }, (_, at) => at)
  const uploads: tf.TensorInfo[] = []
  await run.prepare(() => {
    tf.tidy(() => void tf.square(filled(7)))
    uploads.push(run.upload(expected), run.upload(expected))
    tf.tidy(() => void tf.square(filled(8)))
  })
  uploads.push(run.upload(expected), run.upload(expected))
  run.flush()
  for (const { dataId } of uploads) expect(await tf.backend().read(dataId)).toEqual(expected)
  run.free(...uploads)
})
