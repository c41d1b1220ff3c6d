// The fused norms against their composed forms, for widths that are whole quads and not, narrower and wider than a workgroup.
import * as tf from '@tensorflow/tfjs'
import { beforeAll, expect, test } from 'vitest'
import { valueAndGradients } from '../../src/engine/kernels/gradients'
import { layerNormComposed } from '../../src/engine/kernels/layerNorm'
import { rmsNormComposed } from '../../src/engine/kernels/rmsNorm'
import { layerNormFused } from '../../src/engine/kernels/webgpu/layerNorm'
import { rmsNormFused } from '../../src/engine/kernels/webgpu/rmsNorm'
import { runner } from '../../src/engine/kernels/webgpu/run'
import { difference, expectSame, normal, startFused, stream } from './fusedHarness'

beforeAll(startFused)

for (const [rows, width] of [
  [1, 4],
  [3, 30],
  [21, 24],
  [50, 260]
] as const) {
  test(`${rows} rows of ${width}`, async () => {
    const next = stream(width)
    const x = tf.add(normal([rows, width], next), 0.5)
    const weight = normal([width], next)
    const bias = normal([width], next)
    const rms =
      (form: typeof rmsNormFused) =>
      (...[a, w]: tf.Tensor[]): tf.Tensor =>
        form(a as tf.Tensor2D, w as tf.Tensor1D, 1e-5)
    const layer =
      (form: typeof layerNormFused) =>
      (...[a, w, b]: tf.Tensor[]): tf.Tensor =>
        form(a as tf.Tensor2D, w as tf.Tensor1D, b as tf.Tensor1D, 1e-5)
    // Rows owned by one thread each, as on processors, and by workgroups, as on GPUs.
    for (const software of [true, false]) {
      Object.assign(runner(), { software })
      await expectSame(rms(rmsNormFused), rms(rmsNormComposed), [x, weight])
      await expectSame(layer(layerNormFused), layer(layerNormComposed), [x, weight, bias])
    }
    tf.dispose([x, weight, bias])
  })
}

test('what is trained alone has the gradient that it has beside the others', async () => {
  const next = stream(9)
  const [rows, width] = [6, 12]
  const trained = [normal([rows, width], next), normal([width], next), normal([width], next)]
  const forms: Record<string, (...tensors: tf.Tensor[]) => tf.Tensor> = {
    rmsNorm: (x, weight) => rmsNormFused(x as tf.Tensor2D, weight as tf.Tensor1D, 1e-5),
    layerNorm: (x, weight, bias) => layerNormFused(x as tf.Tensor2D, weight as tf.Tensor1D, bias as tf.Tensor1D, 1e-5)
  }
  for (const [name, form] of Object.entries(forms)) {
    const loss = (): tf.Scalar => tf.sum(tf.square(form(...trained)))
    const inputs = trained.slice(0, name === 'layerNorm' ? 3 : 2)
    const together = valueAndGradients(loss, inputs)
    for (const [at, input] of inputs.entries()) {
      const alone = valueAndGradients(loss, [input])
      expect(await difference(alone.gradients[0]!, together.gradients[at]!), `${name} ${at}`).toBe(0)
      tf.dispose([alone.value, alone.gradients])
    }
    tf.dispose([together.value, together.gradients])
  }
  tf.dispose(trained)
})
