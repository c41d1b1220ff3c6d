// Prints the GFLOP/s of every tile at the shapes of a step: node bench/matmul.mjs [--rounds 8]
import { parseArgs } from 'node:util'
import { openBench } from './open.mjs'

const { values: options } = parseArgs({ options: { rounds: { type: 'string', default: '8' } } })

/** @type {import('../src/engine/kernels/webgpu/tiles').Tile[]} */
const tiles = [
  ...[
    [4, 4],
    [4, 8],
    [8, 4],
    [8, 8],
    [8, 16],
    [16, 8]
  ].map(([rows = 4, columns = 4]) => ({ kind: /** @type {const} */ ('register'), rows, columns, groupRows: 8, groupColumns: 8 })),
  { kind: 'register', rows: 8, columns: 8, groupRows: 2, groupColumns: 32 },
  { kind: 'register', rows: 8, columns: 8, groupRows: 4, groupColumns: 4 },
  { kind: 'workgroup' }
]
/** @type {[import('../src/engine/kernels/webgpu/matmul').MatmulMode, number, number, number][]} */
const products = [
  ['NT', 768, 128, 128],
  ['NT', 768, 384, 128],
  ['NN', 768, 128, 384],
  ['NN', 768, 128, 128],
  ['TN', 384, 128, 768],
  ['TN', 128, 128, 768]
]

const { page, close } = await openBench('matmul.html', 'measureTiles')
try {
  console.log(
    [
      'product'.padEnd(20),
      ...tiles.map((tile) =>
        (tile.kind === 'register' ? `${tile.rows}x${tile.columns} ${tile.groupRows}x${tile.groupColumns}` : tile.kind).padStart(12)
      )
    ].join('')
  )
  for (const [mode, rows, columns, depth] of products) {
    const times = await page.evaluate(
      (given) => globalThis.measureTiles(...given),
      /** @type {const} */ ([mode, rows, columns, depth, tiles, Number(options.rounds)])
    )
    console.log(
      [
        `${mode} ${rows}x${columns}x${depth}`.padEnd(20),
        ...times.map((time) => ((2 * rows * columns * depth) / time / 1e6).toFixed(2).padStart(12))
      ].join('')
    )
  }
} finally {
  await close()
}
