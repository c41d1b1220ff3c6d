// Times a small piece of training on the current backend, to choose between software WebGPU and WebAssembly by measurement.
import * as tf from '@tensorflow/tfjs'
import { linear } from '../kernels/linear'

const ROWS = 256
const HIDDEN = 128
const INTERMEDIATE = 384

/**
 * Milliseconds of one forward and backward pass through the two matrices of a feed-forward layer, pipelines already compiled. Matrix products
 * are most of a training step. With the compilation the whole probe takes SwiftShader 1 to 3 s on two cores, and WebAssembly 0.04 s.
 */
export async function probeMilliseconds(): Promise<number> {
  const x = tf.fill([ROWS, HIDDEN], 0.5) as tf.Tensor2D
  const weights = [tf.fill([INTERMEDIATE, HIDDEN], 0.01), tf.fill([HIDDEN, INTERMEDIATE], 0.01)]
  const gradients = tf.grads((up: tf.Tensor, down: tf.Tensor) => {
    const inner = linear({ x, weight: up as tf.Tensor2D })
    return tf.sum(linear({ x: inner, weight: down as tf.Tensor2D, residual: x }))
  })
  const once = async (): Promise<number> => {
    const start = performance.now()
    const results = tf.tidy(() => gradients(weights))
    await Promise.all(results.map((result) => result.data()))
    tf.dispose(results)
    return performance.now() - start
  }
  await once()
  const milliseconds = Math.min(await once(), await once())
  tf.dispose([x, ...weights])
  return milliseconds
}
