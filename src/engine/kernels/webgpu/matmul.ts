// Matrix products in the three modes of a linear layer and its gradients, for any size, one or several in a dispatch; nothing is transposed in memory.
import type * as tf from '@tensorflow/tfjs'
import type { PackingId } from '../packings'
import { extentOf, matmulProgram, type MatmulMode, type ProductVariant } from './matmulPrograms'
import type { Program } from './program'
import type { Dispatch, Runner } from './run'
import { type Tile, type TileQuestion } from './tiles'
import { tunerOf } from './tuner'

export type { MatmulMode } from './matmulPrograms'

export interface MatmulOptions {
  mode: MatmulMode
  /** `[rows, columns]`, written. */
  output: tf.TensorInfo
  left: tf.TensorInfo
  right: tf.TensorInfo
  /** `right` is the words of a packed matrix, which are unpacked as they are read. */
  packing?: PackingId
  rows: number
  columns: number
  depth: number
  /** `[columns]`, added to each row. */
  bias?: tf.TensorInfo
  /** `[rows, columns]`, added. */
  residual?: tf.TensorInfo
  /** The product is added to what `output` holds; without bias and residual. */
  onto?: boolean
  /** Part of the forward pass: it may be computed in float16 where that is allowed. */
  forward?: boolean
  /** In place of the tuner's. */
  tile?: Tile
}

/** One of several products in a dispatch: those of a group share their mode and packing, and what `MatmulMode` says. */
export type MatmulPart = Omit<MatmulOptions, 'mode' | 'packing' | 'residual' | 'onto' | 'forward' | 'tile'>

interface Planned {
  program: Program
  dispatch: Dispatch
}

const isWhole = (parts: readonly MatmulPart[], size: 'rows' | 'columns' | 'depth'): boolean => parts.every((part) => part[size] % 4 === 0)

const unique = (tensors: readonly tf.TensorInfo[], shared: boolean): readonly tf.TensorInfo[] => (shared ? tensors.slice(0, 1) : tensors)

/** Everything of a dispatch, in the order that `matmulPrograms` declares. `residual` and a single bias are stood in for by an operand that is bound anyway. */
function plan(
  mode: MatmulMode,
  parts: readonly MatmulPart[],
  tile: Tile,
  { packing = 'float32', residual, onto }: { packing?: ProductVariant['packing']; residual?: tf.TensorInfo; onto?: boolean }
): Planned {
  const several = parts.length > 1
  const first = parts[0] as MatmulPart
  const biases = parts.map(({ bias }) => bias)
  const alone = onto ? 'onto' : first.bias || residual ? 'asked' : 'none'
  const bias = several ? (biases[0] ? 'all' : 'none') : alone
  const variant: ProductVariant = {
    mode,
    parts: parts.length,
    // Only sizes along which vectors are read: other odd sizes need no program of their own.
    wholeRows: mode !== 'TN' || isWhole(parts, 'rows'),
    wholeColumns: isWhole(parts, 'columns'),
    wholeDepth: mode === 'TN' || isWhole(parts, 'depth'),
    packing,
    bias
  }
  const [tall, wide] = extentOf(tile)
  const along = mode === 'NT' ? parts.map(({ columns }) => Math.ceil(columns / wide)) : parts.map(({ rows }) => Math.ceil(rows / tall))
  const ends: number[] = []
  if (mode !== 'NN') along.forEach((count, at) => ends.push(count + (ends[at - 1] ?? 0)))
  const sizes = (part: MatmulPart, at: number): number[] => {
    const own = { rows: mode === 'TN', columns: mode === 'NT', depth: mode === 'NN' } as const
    return (['rows', 'columns', 'depth'] as const).filter((size) => at === 0 || own[size]).map((size) => part[size])
  }
  const total = ends[ends.length - 1]
  return {
    program: matmulProgram(tile, variant),
    dispatch: {
      outputs: unique(
        parts.map(({ output }) => output),
        mode === 'NN'
      ),
      inputs: [
        ...unique(
          parts.map(({ left }) => left),
          mode === 'NT'
        ),
        ...unique(
          parts.map(({ right }) => right),
          mode === 'TN'
        ),
        ...(bias === 'asked' || bias === 'all' ? biases.map((one) => one ?? first.left) : []),
        ...(bias === 'asked' ? [residual ?? first.left] : [])
      ],
      uniforms: [...parts.flatMap(sizes), ...ends.slice(0, -1), ...(bias === 'asked' ? [first.bias ? 1 : 0, residual ? 1 : 0] : [])],
      groups: [
        mode === 'NT' ? (total as number) : Math.ceil(first.columns / wide),
        mode === 'TN' ? (total as number) : Math.ceil(first.rows / tall)
      ]
    }
  }
}

/** The best tiling whose program is compiled; the last of `tiles` is compiled where none is. */
function firstCompiled(run: Runner, tiles: readonly Tile[], planFor: (tile: Tile) => Planned): Planned {
  const [tile, ...others] = tiles
  const planned = planFor(tile as Tile)
  if (others.length === 0 || run.isCompiled(planned.program)) return planned
  return firstCompiled(run, others, planFor)
}

/** The program of one product in a tiling. */
export function programOf(options: MatmulOptions & { tile: Tile }): Program {
  return plan(options.mode, [options], options.tile, options).program
}

/** Tilings of a product on this device, the wanted one first. */
function tilesFor(run: Runner, size: Pick<TileQuestion, 'mode' | 'rows' | 'columns' | 'depth' | 'packing'>, forward: boolean): Tile[] {
  const { software, subgroups } = run
  const tuner = tunerOf(run)
  return tuner.tilesFor({ ...size, software, subgroups, float16: forward && tuner.float16 })
}

/** Records one matrix product. Sums run in float32, in the order of the depth. */
export function matmul(run: Runner, options: MatmulOptions): void {
  const { mode, rows, columns, depth, packing, forward = false, tile } = options
  const tiles = tile ? [tile] : tilesFor(run, { mode, rows, columns, depth, packing }, forward)
  const { program, dispatch } = firstCompiled(run, tiles, (one) => plan(mode, [options], one, options))
  run.run(program, dispatch)
}

/**
 * Records several products of one mode: in one dispatch where the device binds enough buffers at once and a program is compiled, else one after the
 * other, with the same numbers. A processor compiles a group behind the scenes; a graphics card's driver is quick enough to do it at once.
 */
export function matmulGroup(run: Runner, mode: MatmulMode, parts: readonly MatmulPart[], packing?: PackingId, wanted?: Tile): void {
  const total = (size: 'rows' | 'columns' | 'depth', split: MatmulMode): number =>
    mode === split ? parts.reduce((sum, part) => sum + part[size], 0) : parts[0]![size]
  const size = {
    mode,
    rows: total('rows', 'TN'),
    columns: total('columns', 'NT'),
    depth: total('depth', 'NN'),
    packing
  }
  // The one way in which products of the forward pass are grouped, see `linearGroup`.
  const forward = mode === 'NT'
  const tiles = wanted ? [wanted] : tilesFor(run, size, forward).slice(0, 2)
  const { program, dispatch } = firstCompiled(run, tiles, (tile) => plan(mode, parts, tile, { packing }))
  const buffers = dispatch.outputs.length + (dispatch.inputs?.length ?? 0)
  const binds = parts.length > 1 && buffers <= run.device.limits.maxStorageBuffersPerShaderStage
  if (binds && (wanted || !run.software || run.isCompiled(program))) run.run(program, dispatch)
  else separately(run, mode, parts, packing, forward)
}

function separately(run: Runner, mode: MatmulMode, parts: readonly MatmulPart[], packing: PackingId | undefined, forward: boolean): void {
  let before: tf.TensorInfo | undefined
  parts.forEach((part, at) => {
    const isLast = at === parts.length - 1
    // A buffer cannot be read and written in one dispatch, so sums in between have one of their own.
    const output = mode === 'NN' && !isLast ? run.allocate([part.rows, part.columns]) : part.output
    matmul(run, { ...part, mode, packing, output, residual: before, forward })
    if (before) run.free(before)
    before = mode === 'NN' && !isLast ? output : undefined
  })
}
