// The fused norms against their composed forms, for widths that are whole quads and not, narrower and wider than a workgroup.
import * as tf from '@tensorflow/tfjs'
import { beforeAll, test } from 'vitest'
import { layerNormComposed } from '../../src/engine/kernels/layerNorm'
import { rmsNormComposed } from '../../src/engine/kernels/rmsNorm'
import { layerNormFused } from '../../src/engine/kernels/webgpu/layerNorm'
import { rmsNormFused } from '../../src/engine/kernels/webgpu/rmsNorm'
import { runner } from '../../src/engine/kernels/webgpu/run'
import { expectSame, normal, startFused, stream } from './fusedHarness'

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
