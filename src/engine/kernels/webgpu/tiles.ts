// The tilings of matrix products, and which one is used before any is measured: by mode, size, and whether a GPU or a processor runs it.
import type { PackingId } from '../packings'
import type { MatmulMode } from './matmulParts'

/**
 * `register`: each thread computes `rows` x `columns` outputs in registers and reads its operands straight from memory; no barrier, no shared memory.
 * `float16`: the same, and operands are rounded to float16, in which four depths are multiplied and added; their sums are added in float32.
 * `quad`: as `register`, and four neighbours of a subgroup, two by two, each read half of what they need and swap the rest.
 * `workgroup`: 64 x 64 outputs by 256 threads, which share their operands through workgroup memory, 16 deep at a time.
 */
export type Tile = RegisterTile | { kind: 'workgroup' }

export interface RegisterTile {
  kind: 'register' | 'quad' | 'float16'
  rows: number
  columns: number
  /** Threads of a workgroup along each side. */
  groupRows: number
  groupColumns: number
}

export interface TileQuestion {
  mode: MatmulMode
  /** The product is `[rows, columns]`, each element a sum over `depth`. */
  rows: number
  columns: number
  depth: number
  /** Of the right operand. */
  packing?: PackingId
  /** A processor does the work of a GPU. */
  software: boolean
  /** Neighbours in a subgroup can hand each other values. */
  subgroups?: boolean
  /** Float16 arithmetic may be used: the device has it, the user allows it, and the product is not a gradient, whose numbers fall below its range. */
  float16?: boolean
}

interface Preference {
  /** Register tiles, rows x columns, best first where there is enough to do for all threads. */
  registers: readonly (readonly [number, number])[]
  /** A tile that leaves fewer threads than this gives way to a smaller one. */
  enough: number
}

/**
 * Processors pay for each read, so alone the largest tile wins as long as a few threads are left. GPUs need many threads in flight and have few registers
 * for each.
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

/**
 * What a processor takes wherever it can. SwiftShader reads each number of each lane by itself, so quads halve most of its work; larger ones do little more
 * (by processor time: quads of 8 x 8 do 3.4 GFLOP in a second, of 16 x 16 3.9; alone they do 2.1 and 3.1), take five times as long to compile, and a step
 * takes as long with either.
 */
const SOFTWARE_QUADS = [
  [8, 8],
  [8, 4],
  [4, 8]
] as const

/** Outputs from which enough workgroup tiles are there to fill a GPU. */
const MANY_OUTPUTS = 16 * 64 * 64

/** The tiling for one product where nothing was measured. */
export function chooseTile(question: TileQuestion): Tile {
  const { rows, columns, software } = question
  if (!software && rows >= 64 && columns >= 64 && rows * columns >= MANY_OUTPUTS) return { kind: 'workgroup' }
  const quads = software ? SOFTWARE_QUADS.map((sides) => quadTile(sides, question)).find((tile) => tile !== undefined) : undefined
  if (quads) return quads
  const { registers, enough } = PREFERENCES[software ? 'software' : 'hardware']
  const fitting = registers.map((sides) => registerTile(sides, question)).filter((tile) => tile !== undefined)
  return fitting.find((tile) => threadsOf(tile, question) >= enough) ?? (fitting[fitting.length - 1] as Tile)
}

/** A register tile of these sides, or undefined where it is larger than the matrix. */
function registerTile([tall, wide]: readonly [number, number], { mode, rows, columns, software }: TileQuestion): RegisterTile | undefined {
  // One row is one token in generation; TN reads its rows in quads.
  const height = mode !== 'TN' && rows === 1 ? 1 : tall
  if (height > upToQuad(rows) || wide > upToQuad(columns)) return undefined
  // Processors run a workgroup row by row; those outside the matrix cost nothing, and one shape is one program to compile.
  if (software) return { kind: 'register', rows: height, columns: wide, groupRows: 4, groupColumns: 4 }
  // Few rows (label positions, one new token): threads side by side, or most of a workgroup would stand outside the matrix.
  const groupRows = Math.min(8, 2 ** Math.ceil(Math.log2(Math.ceil(rows / height))))
  return { kind: 'register', rows: height, columns: wide, groupRows, groupColumns: 64 / groupRows }
}

/** A quad's tile of these sides, or undefined where the device has no subgroups, or half of a quad would stand outside the matrix. */
function quadTile(sides: readonly [number, number], question: TileQuestion): RegisterTile | undefined {
  const { rows, columns, subgroups, software } = question
  const [tall, wide] = sides
  if (!subgroups || rows <= tall || columns <= wide) return undefined
  const tile = registerTile(sides, question)
  // A quad is all that a processor runs at once; the smaller a workgroup, the better its cores share them.
  return tile && { ...tile, kind: 'quad', ...(software ? { groupRows: 2, groupColumns: 2 } : {}) }
}

const threadsOf = (tile: RegisterTile, { rows, columns }: TileQuestion): number =>
  Math.ceil(rows / tile.rows) * Math.ceil(columns / tile.columns)

interface Candidate {
  title: string
  /** Undefined where it does not suit the product. */
  tile(question: TileQuestion): Tile | undefined
}

const register = (rows: number, columns: number): Candidate => ({
  title: `${rows} × ${columns} in registers`,
  tile: (question) => registerTile([rows, columns], question)
})

const quad = (rows: number, columns: number): Candidate => ({
  title: `${rows} × ${columns} in registers, read by four together`,
  tile: (question) => quadTile([rows, columns], question)
})

const half = (rows: number, columns: number): Candidate => ({
  title: `${rows} × ${columns} in registers, float16 arithmetic`,
  tile: (question) => {
    const tile = question.float16 && question.mode !== 'TN' ? registerTile([rows, columns], question) : undefined
    return tile && { ...tile, kind: 'float16' }
  }
})

/**
 * The tilings that are timed against each other. All of them add in the order of the depth, so the choice changes no number; only those in float16 do, and
 * they stand for choice only where float16 is allowed.
 */
export const CANDIDATES = {
  register4x4: register(4, 4),
  register8x4: register(8, 4),
  register4x8: register(4, 8),
  register8x8: register(8, 8),
  register8x16: register(8, 16),
  register16x8: register(16, 8),
  register16x16: register(16, 16),
  quad8x4: quad(8, 4),
  quad4x8: quad(4, 8),
  quad8x8: quad(8, 8),
  quad8x16: quad(8, 16),
  quad16x16: quad(16, 16),
  float16x8x4: half(8, 4),
  float16x8x8: half(8, 8),
  workgroup64x64: {
    title: '64 × 64 in workgroup memory',
    tile: ({ rows, columns }) => (rows >= 32 && columns >= 32 ? { kind: 'workgroup' } : undefined)
  }
} as const satisfies Record<string, Candidate>

export type CandidateId = keyof typeof CANDIDATES

export const candidateIds = Object.keys(CANDIDATES) as CandidateId[]

/**
 * The tile that serves until a large one is compiled, or undefined where that is quick: SwiftShader compiles 16 x 16 in 0.4 to 0.9 s of processor time, and
 * 8 x 8 in 0.1. Both add in the same order, so the numbers are the same.
 */
export function meanwhileTile(tile: Tile): Tile | undefined {
  return tile.kind !== 'workgroup' && tile.rows * tile.columns > 64 ? { ...tile, rows: 8, columns: 8 } : undefined
}

const upToQuad = (size: number): number => Math.ceil(size / 4) * 4
