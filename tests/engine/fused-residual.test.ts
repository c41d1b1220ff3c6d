// Gradients of a residual stream: norms and products take in what its later uses gave, without an addition of their own.
import * as tf from '@tensorflow/tfjs'
import { beforeAll, expect, test } from 'vitest'
import { valueAndGradients } from '../../src/engine/kernels/gradients'
import { layerNorm } from '../../src/engine/kernels/layerNorm'
import { linear } from '../../src/engine/kernels/linear'
import { rmsNorm } from '../../src/engine/kernels/rmsNorm'
import { difference, normal, startFused, stream } from './fusedHarness'

beforeAll(startFused)

const norms = {
  rmsNorm: (x: tf.Tensor2D, gain: tf.Tensor1D) => rmsNorm(x, gain, 1e-5),
  layerNorm: (x: tf.Tensor2D, gain: tf.Tensor1D) => layerNorm(x, gain, gain, 1e-5)
}

for (const [name, norm] of Object.entries(norms)) {
  for (const width of [16, 15]) {
    test(`${name} of ${width} and a product, each beside a residual`, async () => {
      const next = stream(width)
      const x = normal([7, width], next) as tf.Tensor2D
      const gain = normal([width], next) as tf.Tensor1D
      const weight = normal([width, width], next) as tf.Tensor2D
      // Two uses of x, then two of y: four gradients, of which two take in another.
      const loss = (input: tf.Tensor): tf.Scalar => {
        const stream = input as tf.Tensor2D
        const y = linear({ x: norm(stream, gain), weight, residual: stream })
        const [first, second] = [linear({ x: y, weight }), linear({ x: y, weight })]
        return tf.sum(tf.square(linear({ x: second, weight, residual: first })))
      }
      const wanted = tf.grad(loss)(x)
      const profile = await tf.profile(() => {
        const { value, gradients } = valueAndGradients(() => loss(x), [x])
        value.dispose()
        return gradients
      })
      const [gradient] = profile.result as tf.Tensor[]
      expect(await difference(gradient!, wanted)).toBeLessThan(1e-5)
      expect(profile.kernelNames).not.toContain('Add')
      tf.dispose([x, gain, weight, wanted, gradient!])
    })
  }
}
