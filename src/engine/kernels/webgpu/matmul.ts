// Matrix products in the three modes of a linear layer and its gradients, for any size; nothing is ever transposed in memory.
import type * as tf from '@tensorflow/tfjs'
import { PACKINGS, type PackingId } from '../packings'
import { unroll, variants, type Program } from './program'
import type { Runner } from './run'
import { chooseTile, meanwhileTile, type Tile } from './tiles'

/**
 * How the operands lie in memory, for a product `[rows, columns]` that sums over `depth`:
 * `NT`: left `[rows, depth]`, right `[columns, depth]`; `NN`: left `[rows, depth]`, right `[depth, columns]`;
 * `TN`: left `[depth, rows]`, right `[depth, columns]`.
 */
export type MatmulMode = 'NT' | 'NN' | 'TN'

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
  /** In place of `chooseTile`. */
  tile?: Tile
}

/** Compile-time constants of a program: which dimensions are whole quads (multiples of four), and how the right operand is packed. */
type Constants = readonly [wholeRows: boolean, wholeColumns: boolean, wholeDepth: boolean, packing: PackingId | 'float32']

const AXES = ['x', 'y', 'z', 'w'] as const
const axis = (index: number): string => AXES[index % 4] as string

/**
 * `load_<name>(line, quad)`: four neighbours of a line of `length`, zeros beyond its end. Where lines are whole quads that is one vector read; else four
 * guarded reads, several times slower, which only odd sizes pay.
 */
function loader(name: string, length: string, whole: boolean): string {
  if (whole) return `fn load_${name}(line: u32, quad: u32) -> vec4<f32> { return ${name}[line * (${length} / 4u) + quad]; }`
  return `fn load_${name}(line: u32, quad: u32) -> vec4<f32> {
  let at = line * ${length} + quad * 4u;
  let inside = ${length} - quad * 4u;
  return vec4<f32>(${name}[at], select(0.0, ${name}[at + 1u], inside > 1u), select(0.0, ${name}[at + 2u], inside > 2u), select(0.0, ${name}[at + 3u], inside > 3u));
}`
}

/** The same for a packed matrix, whose lines are always whole quads. */
function packedLoader(name: string, length: string, packing: PackingId): string {
  const { words, value } = PACKINGS[packing].read(name, 'line', 'quad', `((${length} + 3u) / 4u)`)
  return `fn load_${name}(line: u32, quad: u32) -> vec4<f32> {
  let words = ${words};
  return ${value};
}`
}

function bindings(mode: MatmulMode, [wholeRows, wholeColumns, wholeDepth, packing]: Constants) {
  const wholeLeft = mode === 'TN' ? wholeRows : wholeDepth
  const wholeRight = mode === 'NT' ? wholeDepth : wholeColumns
  const rightLength = mode === 'NT' ? 'u.depth' : 'u.columns'
  const element = (whole: boolean) => (whole ? 'vec4<f32>' : 'f32') as 'vec4<f32>' | 'f32'
  return {
    outputs: { output: element(wholeColumns) },
    inputs: {
      left: element(wholeLeft),
      right: packing === 'float32' ? element(wholeRight) : PACKINGS[packing].element,
      bias: element(wholeColumns),
      residual: element(wholeColumns)
    },
    uniforms: { rows: 'u32', columns: 'u32', depth: 'u32', hasBias: 'u32', hasResidual: 'u32' } as const,
    loaders: [
      loader('left', mode === 'TN' ? 'u.rows' : 'u.depth', wholeLeft),
      packing === 'float32' ? loader('right', rightLength, wholeRight) : packedLoader('right', rightLength, packing),
      loader('bias', 'u.columns', wholeColumns),
      loader('residual', 'u.columns', wholeColumns)
    ]
  }
}

/**
 * `store(row, quad, value)`: adds bias and residual to four outputs and writes those that lie inside the matrix. Whether there are any is asked at run time,
 * where it costs nothing beside the sums; as programs of their own they would take seconds to compile on a processor.
 */
function store(wholeColumns: boolean): string {
  const write = wholeColumns
    ? 'output[row * (u.columns / 4u) + quad] = sum;'
    : `let at = row * u.columns + quad * 4u;
  let inside = u.columns - quad * 4u;
  output[at] = sum.x;
  if (inside > 1u) { output[at + 1u] = sum.y; }
  if (inside > 2u) { output[at + 2u] = sum.z; }
  if (inside > 3u) { output[at + 3u] = sum.w; }`
  return `fn store(row: u32, quad: u32, value: vec4<f32>) {
  if (row >= u.rows || quad * 4u >= u.columns) { return; }
  var sum = value;
  if (u.hasBias != 0u) { sum += load_bias(0u, quad); }
  if (u.hasResidual != 0u) { sum += load_residual(row, quad); }
  ${write}
}`
}

/**
 * A thread owns `tileRows` x `tileColumns` outputs in registers. Each round of the loop reads four deep (one deep for TN, whose operands lie across) as
 * vectors and multiplies all rows by all columns: 8 x 8 does 256 multiplications for 16 vector reads. Threads at the border read clamped lines and
 * store nothing outside.
 */
const registerProgram = variants(
  'matmul register',
  (mode: MatmulMode, tileRows: number, tileColumns: number, groupRows: number, groupColumns: number, ...constants: Constants) => {
    const quads = tileColumns / 4
    const { loaders, ...declared } = bindings(mode, constants)
    const wholeColumns = constants[1]
    /** sum_row_quad += left(row, step) * right(step, quad) for every row and quad. */
    const multiply = (step: number, left: (row: number) => string, right: (quad: number) => string): string =>
      unroll(tileRows * quads, (at) => {
        const [row, quad] = [Math.floor(at / quads), at % quads]
        return `sum${row}_${quad} += ${left(row)}.${axis(step)} * ${right(quad)};`
      })
    const loops: Record<MatmulMode, string> = {
      NT: `${unroll(tileColumns, (at) => `let line${at} = min(column + ${at}u, u.columns - 1u);`)}
for (var k = 0u; k < quadsDeep; k++) {
${unroll(tileRows, (row) => `let a${row} = load_left(row${row}, k);`)}
${unroll(tileColumns, (at) => `let b${at} = load_right(line${at}, k);`)}
${unroll(4, (step) =>
  [
    unroll(
      quads,
      (quad) => `let across${step}_${quad} = vec4<f32>(${[0, 1, 2, 3].map((at) => `b${quad * 4 + at}.${axis(step)}`).join(', ')});`
    ),
    multiply(
      step,
      (row) => `a${row}`,
      (quad) => `across${step}_${quad}`
    )
  ].join('\n')
)}
}`,
      NN: `for (var k = 0u; k < quadsDeep; k++) {
${unroll(tileRows, (row) => `let a${row} = load_left(row${row}, k);`)}
${unroll(4, (step) =>
  [
    unroll(quads, (quad) => `let b${step}_${quad} = load_right(min(k * 4u + ${step}u, u.depth - 1u), quad${quad});`),
    multiply(
      step,
      (row) => `a${row}`,
      (quad) => `b${step}_${quad}`
    )
  ].join('\n')
)}
}`,
      TN: `${unroll(tileRows / 4, (at) => `let rowQuad${at} = min(row / 4u + ${at}u, (u.rows - 1u) / 4u);`)}
for (var k = 0u; k < u.depth; k++) {
${unroll(tileRows / 4, (at) => `let a${at} = load_left(k, rowQuad${at});`)}
${unroll(quads, (quad) => `let b${quad} = load_right(k, quad${quad});`)}
${unroll(tileRows * quads, (at) => {
  const [row, quad] = [Math.floor(at / quads), at % quads]
  return `sum${row}_${quad} += a${Math.floor(row / 4)}.${axis(row)} * b${quad};`
})}
}`
    }
    return {
      ...declared,
      workgroup: [groupColumns, groupRows] as const,
      declarations: [...loaders, store(wholeColumns)].join('\n'),
      main: `let row = thread.y * ${tileRows}u;
let column = thread.x * ${tileColumns}u;
if (row >= u.rows || column >= u.columns) { return; }
${mode === 'TN' ? '' : 'let quadsDeep = (u.depth + 3u) / 4u;'}
${mode === 'TN' ? '' : unroll(tileRows, (at) => `let row${at} = min(row + ${at}u, u.rows - 1u);`)}
${mode === 'NT' ? '' : unroll(quads, (quad) => `let quad${quad} = min(column / 4u + ${quad}u, (u.columns - 1u) / 4u);`)}
${unroll(tileRows * quads, (at) => `var sum${Math.floor(at / quads)}_${at % quads} = vec4<f32>();`)}
${loops[mode]}
${unroll(tileRows * quads, (at) => {
  const [row, quad] = [Math.floor(at / quads), at % quads]
  return `store(row + ${row}u, column / 4u + ${quad}u, sum${row}_${quad});`
})}`
    }
  }
)

/** Outputs of a workgroup tile along each side, and how deep a slab of the operands lies in workgroup memory. */
const SIDE = 64
const SLAB = 16

/**
 * 256 threads compute 64 x 64 outputs, 4 x 4 each. They first copy a slab of both operands, 64 x 16, to workgroup memory (one vector a thread and operand),
 * depth outermost; each value is then read 16 times from there instead of from memory.
 */
const workgroupProgram = variants('matmul workgroup', (mode: MatmulMode, ...constants: Constants) => {
  const { loaders, ...declared } = bindings(mode, constants)
  const wholeColumns = constants[1]
  /** Fills one slab. Along: memory runs along the depth, so a vector is scattered over four depths; else it is stored whole. */
  const fill = (name: string, along: boolean, first: string, size: string): string =>
    along
      ? `{
  let line = rank / 4u;
  let deep = rank % 4u;
  var value = vec4<f32>();
  if (start + deep * 4u < u.depth && ${first} + line < ${size}) { value = load_${name}(${first} + line, start / 4u + deep); }
${unroll(4, (at) => `  ${name}Slab[deep * 4u + ${at}u][line / 4u][line % 4u] = value.${axis(at)};`)}
}`
      : `{
  let deep = rank / 16u;
  let quad = rank % 16u;
  var value = vec4<f32>();
  if (start + deep < u.depth && ${first} + quad * 4u < ${size}) { value = load_${name}(start + deep, ${first} / 4u + quad); }
  ${name}Slab[deep][quad] = value;
}`
  return {
    ...declared,
    workgroup: [SIDE / 4, SIDE / 4] as const,
    declarations: [
      ...loaders,
      store(wholeColumns),
      `var<workgroup> leftSlab: array<array<vec4<f32>, ${SIDE / 4}>, ${SLAB}>;`,
      `var<workgroup> rightSlab: array<array<vec4<f32>, ${SIDE / 4}>, ${SLAB}>;`
    ].join('\n'),
    main: `let firstRow = group.y * ${SIDE}u;
let firstColumn = group.x * ${SIDE}u;
${unroll(4, (row) => `var sum${row} = vec4<f32>();`)}
for (var start = 0u; start < u.depth; start += ${SLAB}u) {
${fill('left', mode !== 'TN', 'firstRow', 'u.rows')}
${fill('right', mode === 'NT', 'firstColumn', 'u.columns')}
workgroupBarrier();
for (var k = 0u; k < ${SLAB}u; k++) {
  let a = leftSlab[k][member.y];
  let b = rightSlab[k][member.x];
${unroll(4, (row) => `  sum${row} += a.${axis(row)} * b;`)}
}
workgroupBarrier();
}
${unroll(4, (row) => `store(firstRow + member.y * 4u + ${row}u, firstColumn / 4u + member.x, sum${row});`)}`
  }
})

function programFor(mode: MatmulMode, tile: Tile, constants: Constants): Program {
  if (tile.kind === 'workgroup') return workgroupProgram(mode, ...constants)
  return registerProgram(mode, tile.rows, tile.columns, tile.groupRows, tile.groupColumns, ...constants)
}

/** Records one matrix product. Sums run in float32, in the order of the depth. */
export function matmul(run: Runner, options: MatmulOptions): void {
  const { mode, output, left, right, rows, columns, depth, bias, residual, packing = 'float32' } = options
  // Only sizes along which vectors are read: other odd sizes need no program of their own.
  const constants = [mode !== 'TN' || rows % 4 === 0, columns % 4 === 0, mode === 'TN' || depth % 4 === 0, packing] as const
  let tile = options.tile ?? chooseTile({ mode, rows, columns, depth, software: run.software })
  let program = programFor(mode, tile, constants)
  const meanwhile = options.tile ? undefined : meanwhileTile(tile)
  if (meanwhile && !run.isCompiled(program)) {
    tile = meanwhile
    program = programFor(mode, tile, constants)
  }
  const [tall, wide] = tile.kind === 'workgroup' ? [SIDE, SIDE] : [tile.rows * tile.groupRows, tile.columns * tile.groupColumns]
  run.run(program, {
    outputs: [output],
    // What is absent is stood in for by an operand that is bound anyway.
    inputs: [left, right, bias ?? left, residual ?? left],
    uniforms: [rows, columns, depth, bias ? 1 : 0, residual ? 1 : 0],
    groups: [Math.ceil(columns / wide), Math.ceil(rows / tall)]
  })
}
