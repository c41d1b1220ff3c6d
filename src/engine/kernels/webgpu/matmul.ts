// Matrix products in the three modes of a linear layer and its gradients, for any size, one or several in a dispatch; nothing is transposed in memory.
import type * as tf from '@tensorflow/tfjs'
import type { PackingId } from '../packings'
import { partNames } from './matmulParts'
import { extentOf, isSum, matmulProgram, type Arrangement, type MatmulMode, type ProductVariant } from './matmulPrograms'
import type { Program } from './program'
import type { Dispatch, Runner } from './run'
import type { Tile, TileQuestion } from './tiles'
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

/** One of several products in a dispatch: those of a group share what `GroupOptions` has, and what `Arrangement` says. Packed ones come first, all in one packing. */
export type MatmulPart = Omit<MatmulOptions, 'mode' | 'forward' | keyof GroupOptions>

/** `residual` is of terms, and `scale` of all else. */
export interface GroupOptions extends Pick<MatmulOptions, 'residual' | 'onto' | 'scale' | 'tile'> {
  /** `terms` in mode `NN`, else `beside`, where absent. */
  arrangement?: Arrangement
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

const usual = (mode: MatmulMode): Arrangement => (mode === 'NN' ? 'terms' : 'beside')

/** Everything of a dispatch, in the order that `matmulPrograms` declares. `residual` and a single bias are stood in for by an operand that is bound anyway. */
function plan(
  mode: MatmulMode,
  parts: readonly MatmulPart[],
  tile: Tile,
  { residual, onto = false, scale = 1, arrangement = usual(mode) }: GroupOptions
): Planned {
  const several = parts.length > 1
  const first = parts[0] as MatmulPart
  const biases = parts.map(({ bias }) => bias)
  const isOne = !several || arrangement === 'terms'
  const bias = isOne ? (first.bias || residual ? 'asked' : 'none') : biases[0] ? 'all' : 'none'
  const added = onto ? 'onto' : bias
  const packed = parts.filter(({ packing }) => packing !== undefined).length
  const variant: ProductVariant = {
    mode,
    parts: parts.length,
    arrangement: several ? arrangement : 'beside',
    // Only sizes along which vectors are read: other odd sizes need no program of their own.
    wholeRows: mode !== 'TN' || isWhole(parts, 'rows'),
    wholeColumns: isWhole(parts, 'columns'),
    wholeDepth: mode === 'TN' || isWhole(parts, 'depth'),
    packing: first.packing ?? 'float32',
    packed,
    added
  }
  const [tall, wide] = extentOf(tile)
  const across = parts.map(({ columns }) => Math.ceil(columns / wide))
  const down = parts.map(({ rows }) => Math.ceil(rows / tall))
  const along = mode === 'NT' ? across : down
  const ends: number[] = []
  if (!isSum(variant)) along.forEach((count, at) => ends.push(count + (ends[at - 1] ?? 0)))
  const names = parts.map((_, at) => partNames(variant, at))
  /** Of each thing that the parts share, once. */
  const unique = <Value>(name: keyof (typeof names)[0], value: (part: MatmulPart) => Value): Value[] =>
    parts.filter((_, at) => names.findIndex((other) => other[name] === names[at]![name]) === at).map(value)
  const sizes = (part: MatmulPart, at: number): number[] =>
    (['rows', 'columns', 'depth'] as const)
      .filter((size) => names.findIndex((other) => other[size] === names[at]![size]) === at)
      .map((size) => part[size])
  const total = ends[ends.length - 1]
  return {
    program: matmulProgram(tile, variant),
    dispatch: {
      outputs: unique('output', ({ output }) => output),
      inputs: [
        ...unique('left', ({ left }) => left),
        ...unique('right', ({ right }) => right),
        ...(added === 'asked' || added === 'all' ? unique('bias', (part) => part.bias ?? first.left) : []),
        ...(added === 'asked' ? [residual ?? first.left] : [])
      ],
      uniforms: [
        ...parts.flatMap(sizes),
        ...ends.slice(0, -1),
        ...(added === 'asked' ? [first.bias ? 1 : 0, residual ? 1 : 0] : []),
        scale
      ],
      groups: [
        mode === 'NT' ? (total ?? Math.max(...across)) : Math.max(...across),
        mode === 'NT' ? Math.max(...down) : (total ?? Math.max(...down))
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
export function matmulGroup(run: Runner, mode: MatmulMode, parts: readonly MatmulPart[], options: GroupOptions = {}): void {
  if (parts.length === 0) return
  const { tile: wanted, arrangement = usual(mode) } = options
  const isApart = arrangement === 'apart'
  // Parts of a few numbers each do not make a wide matrix: a tile must fit each of them.
  const size = (side: 'rows' | 'columns' | 'depth', isSplit: boolean): number => {
    const sizes = parts.map((part) => part[side])
    return isSplit && Math.min(...sizes) > THIN ? sizes.reduce((sum, one) => sum + one, 0) : Math.max(...sizes)
  }
  const question = {
    mode,
    rows: size('rows', arrangement !== 'terms' && mode !== 'NT'),
    columns: size('columns', arrangement !== 'terms' && mode === 'NT'),
    depth: size('depth', arrangement === 'terms'),
    packing: parts[0]!.packing
  }
  // The one way in which products of the forward pass are grouped, see `linearGroup`.
  const forward = mode === 'NT'
  const tiles = wanted ? [wanted] : tilesFor(run, question, forward).slice(0, 2)
  const { program, dispatch } = firstCompiled(run, tiles, (tile) => plan(mode, parts, tile, options))
  const buffers = dispatch.outputs.length + (dispatch.inputs?.length ?? 0)
  const binds = parts.length > 1 && buffers <= run.device.limits.maxStorageBuffersPerShaderStage
  const pays = wanted ?? !(run.software && isApart && question.depth <= SHALLOW)
  if (binds && pays && (wanted || !run.software || run.isCompiled(program))) run.run(program, dispatch)
  else separately(run, mode, parts, options, forward)
}

function separately(run: Runner, mode: MatmulMode, parts: readonly MatmulPart[], options: GroupOptions, forward: boolean): void {
  const { residual, onto, scale, arrangement = usual(mode) } = options
  parts.forEach((part, at) => {
    const isLaterTerm = at > 0 && isSum({ parts: parts.length, arrangement })
    matmul(run, { ...part, mode, residual: at > 0 ? undefined : residual, onto: onto || isLaterTerm, scale, forward })
  })
}
