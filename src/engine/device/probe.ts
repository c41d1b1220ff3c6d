// Times a small piece of training on the current backend, to choose between software WebGPU and WebAssembly by measurement.
import * as tf from '@tensorflow/tfjs'
import { attention } from '../kernels/attention'
import { linear } from '../kernels/linear'
import { rmsNorm } from '../kernels/rmsNorm'
import { swiglu } from '../kernels/swiglu'

const BATCH = 4
const TIME = 32
const HIDDEN = 64
const HEADS = 4

/** Milliseconds of one forward and backward pass through one small decoder layer, pipelines already compiled. */
export async function probeMilliseconds(): Promise<number> {
  const gain = tf.ones([HIDDEN]) as tf.Tensor1D
  const weight = tf.fill([HIDDEN, HIDDEN], 0.01) as tf.Tensor2D
  const x = tf.fill([BATCH * TIME, HIDDEN], 0.5) as tf.Tensor2D
  const lengths = new Int32Array(BATCH).fill(TIME)
  const shape = { batch: BATCH, queryTime: TIME, keyTime: TIME, heads: HEADS, keyValueHeads: HEADS, headSize: HIDDEN / HEADS, scale: 0.25 }
  const gradient = tf.grad((w: tf.Tensor) => {
    const project = (input: tf.Tensor2D, residual?: tf.Tensor2D): tf.Tensor2D => linear({ x: input, weight: w as tf.Tensor2D, residual })
    const normed = rmsNorm(x, gain, 1e-5)
    const y = project(attention({ query: project(normed), key: project(normed), value: project(normed), lengths, ...shape }), x)
    return tf.mean(project(swiglu(project(y), project(y)), y))
  })
  const once = async (): Promise<number> => {
    const start = performance.now()
    const result = tf.tidy(() => gradient(weight))
    await result.data()
    result.dispose()
    return performance.now() - start
  }
  await once()
  const milliseconds = await once()
  tf.dispose([gain, weight, x])
  return milliseconds
}
