// Which tiling a matrix product uses: by its mode, its size, and whether a GPU or a processor runs it.
import type { MatmulMode } from './matmul'

/**
 * `register`: each thread computes rows x columns outputs in registers and reads its operands straight from memory; no barrier, no shared memory.
 * `workgroup`: 64 x 64 outputs by 256 threads, which share their operands through workgroup memory, 16 deep at a time.
 */
export type Tile = { kind: 'register'; rows: 4 | 8; columns: 4 | 8; groupRows: number; groupColumns: number } | { kind: 'workgroup' }

export interface TileQuestion {
  mode: MatmulMode
  /** The product is `[rows, columns]`, each element a sum over `depth`. */
  rows: number
  columns: number
  depth: number
  /** A processor does the work of a GPU. */
  software: boolean
}

/** Outputs from which enough workgroups of 64 x 64 are there to fill a GPU. */
const MANY_OUTPUTS = 64 * 64 * 16

/** The tiling for one product. Pure, so that measured choices can take its place by the same question. */
export function chooseTile({ rows, columns, software }: TileQuestion): Tile {
  if (!software && rows >= 64 && columns >= 64 && rows * columns >= MANY_OUTPUTS) return { kind: 'workgroup' }
  const tileRows = rows > 4 && software ? 8 : 4
  const tileColumns = columns > 4 && software ? 8 : 4
  // Few rows (label positions, one generated token): threads side by side, or most of a workgroup would stand outside the matrix.
  const groupRows = Math.min(8, ceilPowerOfTwo(Math.ceil(rows / tileRows)))
  return { kind: 'register', rows: tileRows, columns: tileColumns, groupRows, groupColumns: 64 / groupRows }
}

function ceilPowerOfTwo(value: number): number {
  return 2 ** Math.ceil(Math.log2(value))
}
