// Which tiling a matrix product uses: by its mode, its size, and whether a GPU or a processor runs it.
import type { MatmulMode } from './matmul'

/**
 * `register`: each thread computes `rows` x `columns` outputs in registers and reads its operands straight from memory; no barrier, no shared memory.
 * `workgroup`: 64 x 64 outputs by 256 threads, which share their operands through workgroup memory, 16 deep at a time.
 */
export type Tile = { kind: 'register'; rows: number; columns: number; groupRows: number; groupColumns: number } | { kind: 'workgroup' }

export interface TileQuestion {
  mode: MatmulMode
  /** The product is `[rows, columns]`, each element a sum over `depth`. */
  rows: number
  columns: number
  depth: number
  /** A processor does the work of a GPU. */
  software: boolean
}

interface Preference {
  /** Register tiles, rows x columns, best first where there is enough to do for all threads. */
  registers: readonly (readonly [number, number])[]
  /** A tile that leaves fewer threads than this gives way to a smaller one. */
  enough: number
}

/**
 * Processors pay for each read, so the largest tile wins as long as a few threads are left (SwiftShader, by processor time: 16 x 16 does 3.2 GFLOP in a
 * second, 8 x 8 does 2.2, the workgroup tile 0.5 to 1). GPUs need many threads in flight and have few registers for each.
 */
const PREFERENCES: Record<'software' | 'hardware', Preference> = {
  software: {
    registers: [
      [16, 16],
      [8, 16],
      [8, 8],
      [4, 8],
      [4, 4]
    ],
    enough: 48
  },
  hardware: {
    registers: [
      [8, 4],
      [4, 4]
    ],
    enough: 4096
  }
}

/** Outputs from which enough workgroup tiles are there to fill a GPU. */
const MANY_OUTPUTS = 16 * 64 * 64

/** The tiling for one product. Pure, so that measured choices can take its place by the same question. */
export function chooseTile({ mode, rows, columns, software }: TileQuestion): Tile {
  if (!software && rows >= 64 && columns >= 64 && rows * columns >= MANY_OUTPUTS) return { kind: 'workgroup' }
  const { registers, enough } = PREFERENCES[software ? 'software' : 'hardware']
  // One row is one token in generation; TN reads its rows in quads.
  const fitting = registers
    .map(([tall, wide]) => [mode !== 'TN' && rows === 1 ? 1 : tall, wide] as const)
    .filter(([tall, wide]) => tall <= upToQuad(rows) && wide <= upToQuad(columns))
  const threadsOf = ([tall, wide]: readonly [number, number]): number => Math.ceil(rows / tall) * Math.ceil(columns / wide)
  const [tall, wide] = fitting.find((tile) => threadsOf(tile) >= enough) ?? fitting[fitting.length - 1] ?? [4, 4]
  // Processors run a workgroup row by row; those outside the matrix cost nothing, and one shape is one program to compile.
  if (software) return { kind: 'register', rows: tall, columns: wide, groupRows: 4, groupColumns: 4 }
  // Few rows (label positions, one new token): threads side by side, or most of a workgroup would stand outside the matrix.
  const groupRows = Math.min(8, 2 ** Math.ceil(Math.log2(Math.ceil(rows / tall))))
  return { kind: 'register', rows: tall, columns: wide, groupRows, groupColumns: 64 / groupRows }
}

/**
 * The tile that serves until a large one is compiled, or undefined where that is quick: SwiftShader compiles 16 x 16 in 0.4 to 0.9 s of processor time, and
 * 8 x 8 in 0.1 to 0.2. Both add in the same order, so the numbers are the same.
 */
export function meanwhileTile(tile: Tile): Tile | undefined {
  return tile.kind === 'register' && tile.rows * tile.columns > 64 ? { ...tile, rows: 8, columns: 8 } : undefined
}

const upToQuad = (size: number): number => Math.ceil(size / 4) * 4
