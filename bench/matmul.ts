// Times one matrix product with every tile, in turn, in this page's WebGPU.
import * as tf from '@tensorflow/tfjs'
import { startDevice } from '../src/engine/device/start'
import { webGpuHandle } from '../src/engine/device/webgpu'
import { matmul, type MatmulMode } from '../src/engine/kernels/webgpu/matmul'
import { runner } from '../src/engine/kernels/webgpu/run'
import type { Tile } from '../src/engine/kernels/webgpu/tiles'
import { timePrograms } from './gpuTimer'

declare global {
  var measureTiles: (mode: MatmulMode, rows: number, columns: number, depth: number, tiles: Tile[], rounds: number) => Promise<number[]>
}

await startDevice({ prefer: 'webgpu', wasm: { plain: '', simd: '' } })
await tf.ready()

/** Least GPU milliseconds of each tile: the one that was disturbed the least. */
globalThis.measureTiles = async (mode, rows, columns, depth, tiles, rounds) => {
  const run = runner()
  const { backend } = webGpuHandle()!
  const left = tf.randomUniform(mode === 'TN' ? [depth, rows] : [rows, depth])
  const right = tf.randomUniform(mode === 'NT' ? [columns, depth] : [depth, columns])
  const output = tf.zeros([rows, columns])
  const least = tiles.map(() => Infinity)
  for (let round = 0; round <= rounds; round++) {
    for (const [at, tile] of tiles.entries()) {
      const times = await timePrograms(backend, run, async () => {
        matmul(run, { mode, output, left, right, rows, columns, depth, tile })
        await output.data()
      })
      if (round > 0) least[at] = Math.min(least[at]!, times.find(({ program }) => program.startsWith('matmul'))!.milliseconds)
    }
  }
  tf.dispose([left, right, output])
  return least
}
