// Times one matrix product with every tile that the tuner chooses among, in turn, on this WebGPU device.
import * as tf from '@tensorflow/tfjs'
import { webGpuHandle } from '../src/engine/device/webgpu'
import { matmul, type MatmulMode } from '../src/engine/kernels/webgpu/matmul'
import { runner } from '../src/engine/kernels/webgpu/run'
import { measureAll } from '../src/engine/kernels/webgpu/tileTimer'
import { CANDIDATES, candidateIds, type Tile, type TileQuestion } from '../src/engine/kernels/webgpu/tiles'
import { tunerOf } from '../src/engine/kernels/webgpu/tuner'
import { timePrograms } from './gpuTimer'

export interface Product {
  mode: MatmulMode
  /** The product is `[rows, columns]`, each element a sum over `depth`. */
  rows: number
  columns: number
  depth: number
}

export interface TileSpeed extends Product {
  /** GFLOP/s by tile; `chosen` is the one that steps use for a product of this size. */
  tiles: Record<string, number>
  chosen: string
}

/** A product is dispatched so often, up to `MOST_REPEATS` times: a graphics card takes its full clock then, and a coarse timestamp counts for little. */
const LEAST_MILLISECONDS = 8
const MOST_REPEATS = 16

const nameOf = (tile: Tile): string =>
  tile.kind === 'workgroup' ? '64x64 shared' : `${tile.rows}x${tile.columns}${tile.kind === 'register' ? '' : ` ${tile.kind}`}`

/** GPU time of each of the candidates that suit the product, by the least of `rounds`: the one that was disturbed the least. Empty where the device has no timestamps. */
export async function measureTiles(products: readonly Product[], rounds: number): Promise<TileSpeed[]> {
  const run = runner()
  const { backend, report } = webGpuHandle()!
  const speeds: TileSpeed[] = []
  if (!report.features.includes('timestamp-query')) return speeds
  for (const { mode, rows, columns, depth } of products) {
    const question: TileQuestion = { mode, rows, columns, depth, software: run.software, subgroups: run.subgroups }
    // Met, so that the tuner chooses for it, where it does so in the product.
    tunerOf(run).tilesFor(question)
    await measureAll(run, (piece) => piece())
    const timed = candidateIds.flatMap((id) => CANDIDATES[id].tile(question) ?? [])
    const left = tf.randomUniform(mode === 'TN' ? [depth, rows] : [rows, depth])
    const right = tf.randomUniform(mode === 'NT' ? [columns, depth] : [depth, columns])
    const output = tf.zeros([rows, columns])
    const least = timed.map(() => Infinity)
    const repeats = timed.map(() => 1)
    for (let round = 0; round <= rounds; round++) {
      for (const [at, tile] of timed.entries()) {
        const times = await timePrograms(backend, run, async () => {
          for (let repeat = 0; repeat < repeats[at]!; repeat++) matmul(run, { mode, output, left, right, rows, columns, depth, tile })
          run.flush()
          await run.device.queue.onSubmittedWorkDone()
        })
        const { milliseconds, dispatches } = times.find(({ program }) => program.startsWith('matmul'))!
        if (round > 0) least[at] = Math.min(least[at]!, milliseconds / dispatches)
        else repeats[at] = Math.max(1, Math.min(MOST_REPEATS, Math.floor(LEAST_MILLISECONDS / milliseconds)))
      }
    }
    tf.dispose([left, right, output])
    const gigaflops = least.map((time) => (2 * rows * columns * depth) / time / 1e6)
    speeds.push({
      mode,
      rows,
      columns,
      depth,
      tiles: Object.fromEntries(timed.map((tile, at) => [nameOf(tile), gigaflops[at]!])),
      chosen: nameOf(tunerOf(run).tilesFor(question)[0]!)
    })
  }
  return speeds
}
