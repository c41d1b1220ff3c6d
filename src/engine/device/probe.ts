// Times a small piece of training on the current backend, to choose between software WebGPU and WebAssembly by measurement.
import * as tf from '@tensorflow/tfjs'
import { linear } from '../kernels/linear'
import { rmsNorm } from '../kernels/rmsNorm'

const ROWS = 128
const HIDDEN = 64
const LAYERS = 3

/** Milliseconds of one forward and backward pass through a stack of norms and linear layers, pipelines already compiled. */
export async function probeMilliseconds(): Promise<number> {
  const gain = tf.ones([HIDDEN]) as tf.Tensor1D
  const weight = tf.fill([HIDDEN, HIDDEN], 0.01) as tf.Tensor2D
  const x = tf.fill([ROWS, HIDDEN], 0.5) as tf.Tensor2D
  const gradient = tf.grad((w: tf.Tensor) => {
    let y = x
    for (let layer = 0; layer < LAYERS; layer++) y = linear({ x: rmsNorm(y, gain, 1e-5), weight: w as tf.Tensor2D, residual: y })
    return tf.mean(y)
  })
  const once = async (): Promise<number> => {
    const start = performance.now()
    const result = tf.tidy(() => gradient(weight))
    await result.data()
    result.dispose()
    return performance.now() - start
  }
  await once()
  const times = [await once(), await once(), await once()]
  tf.dispose([gain, weight, x])
  return Math.min(...times)
}
