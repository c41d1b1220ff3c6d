// Times a small piece of training on the current backend: to choose between backends, and to foretell the time of a step.
import * as tf from '@tensorflow/tfjs'
import { linear } from '../kernels/linear'

/** The two matrices of a feed-forward layer, and how many tokens go through them. */
export interface ProbeShape {
  rows: number
  hidden: number
  intermediate: number
}

const SMALL: ProbeShape = { rows: 256, hidden: 128, intermediate: 384 }

/** Multiply-adds of a probe: two products forward, both weights' gradients, and one gradient of an input. */
const probeWork = ({ rows, hidden, intermediate }: ProbeShape): number => 5 * rows * hidden * intermediate

/**
 * Milliseconds of one forward and backward pass through the two matrices of a feed-forward layer, pipelines already compiled. Matrix products
 * are most of a training step. With the compilation the whole probe takes SwiftShader 1 to 3 s on two cores, and WebAssembly 0.04 s.
 */
export async function probeMilliseconds({ rows, hidden, intermediate } = SMALL): Promise<number> {
  const x = tf.fill([rows, hidden], 0.5) as tf.Tensor2D
  const weights = [tf.fill([intermediate, hidden], 0.01), tf.fill([hidden, intermediate], 0.01)]
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

/** Below this a time is mostly the way to the device and back. */
const LEAST_MILLISECONDS = 20

/** The first probe's multiply-adds: a fraction of a second on a slow processor. */
const FIRST_WORK = 150e6

/** Multiply-adds a second in training products of a model's width: measured with more and more rows until the time can be trusted. */
export async function probeRate(hidden: number, intermediate: number, mostRows: number): Promise<number> {
  const width = { hidden: Math.min(hidden, 1024), intermediate: Math.min(intermediate, 4096) }
  let rows = Math.max(16, Math.min(mostRows, Math.floor(FIRST_WORK / probeWork({ rows: 1, ...width }))))
  for (;;) {
    const milliseconds = await probeMilliseconds({ rows, ...width })
    if (milliseconds >= LEAST_MILLISECONDS || rows >= mostRows) return (1000 * probeWork({ rows, ...width })) / milliseconds
    rows = Math.min(mostRows, 4 * rows)
  }
}
