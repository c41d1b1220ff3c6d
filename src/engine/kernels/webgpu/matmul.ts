// Matrix products in the three modes of a linear layer and its gradients, for any size, one or several in a dispatch; nothing is transposed in memory.
import type * as tf from '@tensorflow/tfjs'
import type { PackingId } from '../packings'
import { extentOf, isSum, matmulProgram, type MatmulMode, type ProductVariant } from './matmulPrograms'
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
  /** Added to what `output` holds already; without bias and residual. */
  onto?: boolean
  /** Of the product, before anything is added; 1 where absent. */
  scale?: number
  /** Part of the forward pass: it may be computed in float16 where that is allowed. */
  forward?: boolean
  /** In place of the tuner's. */
  tile?: Tile
}

/** One of several products in a dispatch: those of a group share what `GroupOptions` has, and what `MatmulMode` says. */
export type MatmulPart = Omit<MatmulOptions, 'mode' | 'residual' | 'forward' | keyof GroupOptions>

export interface GroupOptions extends Pick<MatmulOptions, 'packing' | 'onto' | 'scale' | 'tile'> {
  /** The parts share no operand; see `MatmulMode`. */
  apart?: boolean
}

/** A side that no usual tile of a processor fits. */
const THIN = 8

/**
 * Processors run every part's branch in every workgroup, which costs a round of the loop over the depth and the stores; at this depth that is more than a dispatch: with
 * the low ranks of query, key and value SwiftShader took 4.7 ms together and 1.6 one after the other.
 */
const SHALLOW = 16

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
  { packing, residual, onto = false, scale = 1, apart = false }: GroupOptions & Pick<MatmulOptions, 'residual'>
): Planned {
  const several = parts.length > 1
  const first = parts[0] as MatmulPart
  const biases = parts.map(({ bias }) => bias)
  const bias = several ? (biases[0] ? 'all' : 'none') : first.bias || residual ? 'asked' : 'none'
  const added = onto ? 'onto' : bias
  const variant: ProductVariant = {
    mode,
    parts: parts.length,
    apart,
    // Only sizes along which vectors are read: other odd sizes need no program of their own.
    wholeRows: mode !== 'TN' || isWhole(parts, 'rows'),
    wholeColumns: isWhole(parts, 'columns'),
    wholeDepth: mode === 'TN' || isWhole(parts, 'depth'),
    packing: packing ?? 'float32',
    added
  }
  const [tall, wide] = extentOf(tile)
  const across = parts.map(({ columns }) => Math.ceil(columns / wide))
  const down = parts.map(({ rows }) => Math.ceil(rows / tall))
  const along = mode === 'NT' ? across : down
  const ends: number[] = []
  if (!isSum(variant)) along.forEach((count, at) => ends.push(count + (ends[at - 1] ?? 0)))
  const sizes = (part: MatmulPart, at: number): number[] => {
    const own = { rows: mode === 'TN', columns: mode === 'NT', depth: mode === 'NN' } as const
    return (['rows', 'columns', 'depth'] as const).filter((size) => at === 0 || apart || own[size]).map((size) => part[size])
  }
  const total = ends[ends.length - 1]
  return {
    program: matmulProgram(tile, variant),
    dispatch: {
      outputs: unique(
        parts.map(({ output }) => output),
        isSum(variant)
      ),
      inputs: [
        ...unique(
          parts.map(({ left }) => left),
          mode === 'NT' && !apart
        ),
        ...unique(
          parts.map(({ right }) => right),
          mode === 'TN' && !apart
        ),
        ...(added === 'asked' || added === 'all' ? biases.map((one) => one ?? first.left) : []),
        ...(added === 'asked' ? [residual ?? first.left] : [])
      ],
      uniforms: [
        ...parts.flatMap(sizes),
        ...ends.slice(0, -1),
        ...(added === 'asked' ? [first.bias ? 1 : 0, residual ? 1 : 0] : []),
        scale
      ],
      groups: [mode === 'NT' ? (total as number) : Math.max(...across), mode === 'NT' ? Math.max(...down) : (total ?? Math.max(...down))]
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
export function matmulGroup(run: Runner, mode: MatmulMode, parts: readonly MatmulPart[], options: GroupOptions = {}): void {
  const { packing, tile: wanted, apart = false } = options
  // Parts of a few numbers each do not make a wide matrix: a tile must fit each of them.
  const size = (side: 'rows' | 'columns' | 'depth', isSplit: boolean): number => {
    const sizes = parts.map((part) => part[side])
    return isSplit && Math.min(...sizes) > THIN ? sizes.reduce((sum, one) => sum + one, 0) : Math.max(...sizes)
  }
  const question = {
    mode,
    rows: size('rows', mode === 'TN' || (mode === 'NN' && apart)),
    columns: size('columns', mode === 'NT'),
    depth: size('depth', mode === 'NN' && !apart),
    packing
  }
  // The one way in which products of the forward pass are grouped, see `linearGroup`.
  const forward = mode === 'NT'
  const tiles = wanted ? [wanted] : tilesFor(run, question, forward).slice(0, 2)
  const { program, dispatch } = firstCompiled(run, tiles, (tile) => plan(mode, parts, tile, options))
  const buffers = dispatch.outputs.length + (dispatch.inputs?.length ?? 0)
  const binds = parts.length > 1 && buffers <= run.device.limits.maxStorageBuffersPerShaderStage
  const pays = wanted ?? !(run.software && apart && question.depth <= SHALLOW)
  if (binds && pays && (wanted || !run.software || run.isCompiled(program))) run.run(program, dispatch)
  else separately(run, mode, parts, options, forward)
}

function separately(run: Runner, mode: MatmulMode, parts: readonly MatmulPart[], options: GroupOptions, forward: boolean): void {
  const { packing, onto, scale, apart = false } = options
  parts.forEach((part, at) => {
    const isLaterTerm = at > 0 && isSum({ mode, parts: parts.length, apart })
    matmul(run, { ...part, mode, packing, onto: onto || isLaterTerm, scale, forward })
  })
}
