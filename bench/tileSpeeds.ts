// Times one matrix product with every tile, in turn, on this WebGPU device.
import * as tf from '@tensorflow/tfjs'
import { webGpuHandle } from '../src/engine/device/webgpu'
import { matmul, type MatmulMode } from '../src/engine/kernels/webgpu/matmul'
import { runner } from '../src/engine/kernels/webgpu/run'
import { chooseTile, type Tile } from '../src/engine/kernels/webgpu/tiles'
import { timePrograms } from './gpuTimer'

export interface Product {
  mode: MatmulMode
  /** The product is `[rows, columns]`, each element a sum over `depth`. */
  rows: number
  columns: number
  depth: number
}

export interface TileSpeed extends Product {
  /** GFLOP/s by tile; `chosen` is the one that steps use. */
  tiles: Record<string, number>
  chosen: string
}

const SIDES: readonly (readonly [number, number])[] = [
  [4, 4],
  [8, 4],
  [8, 8],
  [8, 16],
  [16, 16]
]

const TILES: readonly Tile[] = [
  ...SIDES.map(([rows, columns]) => ({ kind: 'register' as const, rows, columns, groupRows: 8, groupColumns: 8 })),
  { kind: 'quad', rows: 8, columns: 8, groupRows: 2, groupColumns: 2 },
  { kind: 'workgroup' }
]

const nameOf = (tile: Tile): string =>
  tile.kind === 'workgroup' ? '64x64 shared' : `${tile.rows}x${tile.columns}${tile.kind === 'register' ? '' : ` ${tile.kind}`}`

/** By the least GPU time of `rounds`: the one that was disturbed the least. Empty where the device has no timestamps. */
export async function measureTiles(products: readonly Product[], rounds: number): Promise<TileSpeed[]> {
  const run = runner()
  const { backend, report } = webGpuHandle()!
  const speeds: TileSpeed[] = []
  const timed = TILES.filter(({ kind }) => kind !== 'quad' || run.subgroups)
  if (!report.features.includes('timestamp-query')) return speeds
  for (const product of products) {
    const { mode, rows, columns, depth } = product
    const left = tf.randomUniform(mode === 'TN' ? [depth, rows] : [rows, depth])
    const right = tf.randomUniform(mode === 'NT' ? [columns, depth] : [depth, columns])
    const output = tf.zeros([rows, columns])
    const least = timed.map(() => Infinity)
    for (let round = 0; round <= rounds; round++) {
      for (const [at, tile] of timed.entries()) {
        const times = await timePrograms(backend, run, async () => {
          matmul(run, { mode, output, left, right, rows, columns, depth, tile })
          await output.data()
        })
        if (round > 0) least[at] = Math.min(least[at]!, times.find(({ program }) => program.startsWith('matmul'))!.milliseconds)
      }
    }
    tf.dispose([left, right, output])
    const gigaflops = least.map((time) => (2 * rows * columns * depth) / time / 1e6)
    const tiles = Object.fromEntries(timed.map((tile, at) => [nameOf(tile), gigaflops[at]!]))
    speeds.push({
      ...product,
      tiles,
      chosen: nameOf(chooseTile({ mode, rows, columns, depth, software: run.software, subgroups: run.subgroups }))
    })
  }
  return speeds
}
