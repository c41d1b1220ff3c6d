// The WGSL of matrix products: one text for a single product and for several that share an operand or a result.
import { PACKINGS, type PackingId } from '../packings'
import { unroll, variants, type Program } from './program'
import type { Tile } from './tiles'

/**
 * How the operands lie in memory, for a product `[rows, columns]` that sums over `depth`:
 * `NT`: left `[rows, depth]`, right `[columns, depth]`; `NN`: left `[rows, depth]`, right `[depth, columns]`;
 * `TN`: left `[depth, rows]`, right `[depth, columns]`.
 *
 * Several parts in one dispatch stand side by side along one dimension, each with its own buffers. `NT`: along the columns, with one left (query, key and
 * value of one input). `NN`: along the depth, into one result (the gradient of that input, a sum over the parts). `TN`: along the rows, with one right
 * (the gradients of the parts' weights).
 */
export type MatmulMode = 'NT' | 'NN' | 'TN'

/** Compile-time constants: which dimensions are whole quads (multiples of four) in every part, how the right operands are packed, and the biases. */
export interface ProductVariant {
  mode: MatmulMode
  parts: number
  wholeRows: boolean
  wholeColumns: boolean
  wholeDepth: boolean
  packing: PackingId | 'float32'
  /** `asked`: a single product asks its uniforms for bias and residual; several have all their biases or none. */
  bias: 'asked' | 'all' | 'none'
}

type Constants = readonly [MatmulMode, number, boolean, boolean, boolean, PackingId | 'float32', ProductVariant['bias']]

const constantsOf = (variant: ProductVariant): Constants => {
  const { mode, parts, wholeRows, wholeColumns, wholeDepth, packing, bias } = variant
  return [mode, parts, wholeRows, wholeColumns, wholeDepth, packing, bias]
}
const variantOf = ([mode, parts, wholeRows, wholeColumns, wholeDepth, packing, bias]: Constants): ProductVariant => ({
  mode,
  parts,
  wholeRows,
  wholeColumns,
  wholeDepth,
  packing,
  bias
})

/** Outputs of a workgroup tile along each side, and how deep a slab of the operands lies in workgroup memory. */
export const SIDE = 64
const SLAB = 16

const AXES = ['x', 'y', 'z', 'w'] as const
const axis = (index: number): string => AXES[index % 4] as string

/** Names of what part `part` reads and writes, and of its sizes. What parts share is numbered 0. */
function partNames({ mode, parts }: ProductVariant, part: number) {
  const own = (among: MatmulMode[]): number => (parts > 1 && !among.includes(mode) ? 0 : part)
  return {
    left: `left${own(['NN', 'TN'])}`,
    right: `right${own(['NT', 'NN'])}`,
    output: `output${own(['NT', 'TN'])}`,
    bias: `bias${own(['NT'])}`,
    rows: `u.rows${own(['TN'])}`,
    columns: `u.columns${own(['NT'])}`,
    depth: `u.depth${own(['NN'])}`
  }
}

const numbered = (count: number): number[] => Array.from({ length: count }, (_, at) => at)

/** Buffers and uniforms, in the order in which `matmul` hands them over. */
function bindings(variant: ProductVariant) {
  const { mode, parts, wholeRows, wholeColumns, wholeDepth, packing, bias } = variant
  const element = (whole: boolean) => (whole ? 'vec4<f32>' : 'f32') as 'vec4<f32>' | 'f32'
  const right = packing === 'float32' ? element(mode === 'NT' ? wholeDepth : wholeColumns) : PACKINGS[packing].element
  const all = numbered(parts).map((part) => partNames(variant, part))
  const each = <Type extends string>(names: string[], type: Type): Record<string, Type> =>
    Object.fromEntries(names.map((name): [string, Type] => [name, type]))
  return {
    outputs: each(
      all.map(({ output }) => output),
      element(wholeColumns)
    ),
    inputs: {
      ...each(
        all.map(({ left }) => left),
        element(mode === 'TN' ? wholeRows : wholeDepth)
      ),
      ...each(
        all.map((names) => names.right),
        right
      ),
      ...(bias === 'none'
        ? {}
        : each(
            all.map((names) => names.bias),
            element(wholeColumns)
          )),
      ...(bias === 'asked' ? { residual: element(wholeColumns) } : {})
    },
    uniforms: each(
      [
        ...all.flatMap(({ rows, columns, depth }) => [rows, columns, depth].map((name) => name.slice(2))),
        ...numbered(mode === 'NN' ? 0 : parts - 1).map((part) => `end${part}`),
        ...(bias === 'asked' ? ['hasBias', 'hasResidual'] : [])
      ],
      'u32'
    ),
    declarations: [
      ...new Set(
        all.flatMap(({ left, right: name, rows, columns, depth }) => [
          loader(left, mode === 'TN' ? rows : depth, mode === 'TN' ? wholeRows : wholeDepth),
          packing === 'float32'
            ? loader(name, mode === 'NT' ? depth : columns, mode === 'NT' ? wholeDepth : wholeColumns)
            : packedLoader(name, mode === 'NT' ? depth : columns, packing)
        ])
      ),
      ...(bias === 'none' ? [] : all.map((names) => loader(names.bias, names.columns, wholeColumns))),
      ...(bias === 'asked' ? [loader('residual', 'u.columns0', wholeColumns)] : []),
      ...new Set(all.map((names) => store(variant, names)))
    ]
  }
}

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

/**
 * `store_<output>(row, quad, value)`: adds bias and residual to four outputs and writes those that lie inside the matrix. Whether a single product has any is
 * asked at run time, where it costs nothing beside the sums; as programs of their own they would take seconds to compile on a processor.
 */
function store({ wholeColumns, bias: biased }: ProductVariant, { output, bias, rows, columns }: ReturnType<typeof partNames>): string {
  const write = wholeColumns
    ? `${output}[row * (${columns} / 4u) + quad] = sum;`
    : `let at = row * ${columns} + quad * 4u;
  let inside = ${columns} - quad * 4u;
  ${output}[at] = sum.x;
  if (inside > 1u) { ${output}[at + 1u] = sum.y; }
  if (inside > 2u) { ${output}[at + 2u] = sum.z; }
  if (inside > 3u) { ${output}[at + 3u] = sum.w; }`
  return `fn store_${output}(row: u32, quad: u32, value: vec4<f32>) {
  if (row >= ${rows} || quad * 4u >= ${columns}) { return; }
  var sum = value;
  ${biased === 'asked' ? 'if (u.hasBias != 0u) { sum += load_bias0(0u, quad); }' : ''}
  ${biased === 'all' ? `sum += load_${bias}(0u, quad);` : ''}
  ${biased === 'asked' ? 'if (u.hasResidual != 0u) { sum += load_residual(row, quad); }' : ''}
  ${write}
}`
}

/**
 * Finds the part that a workgroup works on: `part`, the first of its workgroups along the split dimension, and the part's own sizes. The same for all
 * threads of a workgroup, so barriers may follow.
 */
function findPart(variant: ProductVariant): string {
  const { mode, parts } = variant
  const sizes = (part: number): string => {
    const { rows, columns } = partNames(variant, part)
    return `rows = ${rows}; columns = ${columns};`
  }
  const along = mode === 'NT' ? 'x' : 'y'
  const split = mode === 'NN' ? 0 : parts - 1
  return `var part = 0u;
var start = vec2<u32>();
var rows: u32;
var columns: u32;
${sizes(0)}
${unroll(split, (end) => `if (group.${along} >= u.end${end}) { part = ${end + 1}u; start.${along} = u.end${end}; ${sizes(end + 1)} }`)}
let place = group.xy - start;`
}

/** The statements of the part that a workgroup works on. */
function ofPart(parts: number, body: (part: number) => string): string {
  return numbered(parts)
    .map((part) =>
      parts === 1 ? body(0) : `${part > 0 ? ' else ' : ''}${part < parts - 1 ? `if (part == ${part}u) ` : ''}{\n${body(part)}\n}`
    )
    .join('')
}

/**
 * The sums over the depth. `NN` with several parts goes through all of them, and adds each part's finished sums to the total: the same numbers as with
 * one product after the other, each of which adds the one before as its residual.
 */
function sumUp(variant: ProductVariant, sums: readonly string[], loop: (part: number) => string): string {
  const { mode, parts } = variant
  if (mode !== 'NN' || parts === 1) return ofPart(parts, loop)
  const after = (part: number): string => {
    if (part === 0) return sums.map((sum) => `var total_${sum} = ${sum};\n${sum} = vec4<f32>();`).join('\n')
    if (part < parts - 1) return sums.map((sum) => `total_${sum} = ${sum} + total_${sum};\n${sum} = vec4<f32>();`).join('\n')
    return sums.map((sum) => `${sum} += total_${sum};`).join('\n')
  }
  return numbered(parts)
    .map((part) => `{\n${loop(part)}\n}\n${after(part)}`)
    .join('\n')
}

const storing = ({ mode, parts }: ProductVariant): number => (mode === 'NN' ? 1 : parts)

/**
 * A thread owns `tileRows` x `tileColumns` outputs in registers. Each round of the loop reads four deep (one deep for TN, whose operands lie across) as
 * vectors and multiplies all rows by all columns: 8 x 8 does 256 multiplications for 16 vector reads. Threads at the border read clamped lines and
 * store nothing outside.
 */
const registerProgram = variants(
  'matmul register',
  (tileRows: number, tileColumns: number, groupRows: number, groupColumns: number, ...constants: Constants) => {
    const variant = variantOf(constants)
    const { mode } = variant
    const { declarations, ...declared } = bindings(variant)
    const quads = tileColumns / 4
    const sums = numbered(tileRows * quads).map((at) => `sum${Math.floor(at / quads)}_${at % quads}`)
    /** sum_row_quad += left(row, step) * right(step, quad) for every row and quad. */
    const multiply = (step: number, right: (quad: number) => string): string =>
      unroll(tileRows * quads, (at) => `${sums[at]} += a${Math.floor(at / quads)}.${axis(step)} * ${right(at % quads)};`)
    const loop = (part: number): string => {
      const { left, right, depth } = partNames(variant, part)
      if (mode === 'NT') {
        return `for (var k = 0u; k < (${depth} + 3u) / 4u; k++) {
${unroll(tileRows, (row) => `let a${row} = load_${left}(row${row}, k);`)}
${unroll(tileColumns, (at) => `let b${at} = load_${right}(line${at}, k);`)}
${unroll(
  4,
  (step) => `${unroll(
    quads,
    (quad) => `let across${step}_${quad} = vec4<f32>(${[0, 1, 2, 3].map((at) => `b${quad * 4 + at}.${axis(step)}`).join(', ')});`
  )}
${multiply(step, (quad) => `across${step}_${quad}`)}`
)}
}`
      }
      if (mode === 'NN') {
        return `for (var k = 0u; k < (${depth} + 3u) / 4u; k++) {
${unroll(tileRows, (row) => `let a${row} = load_${left}(row${row}, k);`)}
${unroll(
  4,
  (step) => `${unroll(quads, (quad) => `let b${step}_${quad} = load_${right}(min(k * 4u + ${step}u, ${depth} - 1u), quad${quad});`)}
${multiply(step, (quad) => `b${step}_${quad}`)}`
)}
}`
      }
      return `for (var k = 0u; k < ${depth}; k++) {
${unroll(tileRows / 4, (at) => `let a${at} = load_${left}(k, rowQuad${at});`)}
${unroll(quads, (quad) => `let b${quad} = load_${right}(k, quad${quad});`)}
${unroll(tileRows * quads, (at) => {
  const row = Math.floor(at / quads)
  return `${sums[at]} += a${Math.floor(row / 4)}.${axis(row)} * b${at % quads};`
})}
}`
    }
    return {
      ...declared,
      workgroup: [groupColumns, groupRows] as const,
      declarations: declarations.join('\n'),
      main: `${findPart(variant)}
let row = (place.y * ${groupRows}u + member.y) * ${tileRows}u;
let column = (place.x * ${groupColumns}u + member.x) * ${tileColumns}u;
if (row >= rows || column >= columns) { return; }
${mode === 'TN' ? unroll(tileRows / 4, (at) => `let rowQuad${at} = min(row / 4u + ${at}u, (rows - 1u) / 4u);`) : unroll(tileRows, (at) => `let row${at} = min(row + ${at}u, rows - 1u);`)}
${mode === 'NT' ? unroll(tileColumns, (at) => `let line${at} = min(column + ${at}u, columns - 1u);`) : unroll(quads, (quad) => `let quad${quad} = min(column / 4u + ${quad}u, (columns - 1u) / 4u);`)}
${sums.map((sum) => `var ${sum} = vec4<f32>();`).join('\n')}
${sumUp(variant, sums, loop)}
${ofPart(storing(variant), (part) =>
  sums
    .map((sum, at) => `store_${partNames(variant, part).output}(row + ${Math.floor(at / quads)}u, column / 4u + ${at % quads}u, ${sum});`)
    .join('\n')
)}`
    }
  }
)

/**
 * 256 threads compute 64 x 64 outputs, 4 x 4 each. They first copy a slab of both operands, 64 x 16, to workgroup memory (one vector a thread and operand),
 * depth outermost; each value is then read 16 times from there instead of from memory.
 */
const workgroupProgram = variants('matmul workgroup', (...constants: Constants) => {
  const variant = variantOf(constants)
  const { mode, parts } = variant
  const { declarations, ...declared } = bindings(variant)
  const sums = [0, 1, 2, 3].map((row) => `sum${row}`)
  /** Fills one slab. Along: memory runs along the depth, so a vector is scattered over four depths; else it is stored whole. */
  const fill = (
    slab: 'left' | 'right',
    along: boolean,
    first: string,
    size: string,
    depth: string,
    load: (line: string, quad: string) => string
  ): string =>
    along
      ? `{
  let line = rank / 4u;
  let deep = rank % 4u;
  var value = vec4<f32>();
  if (begin + deep * 4u < ${depth} && ${first} + line < ${size}) {
${load(`${first} + line`, 'begin / 4u + deep')}
}
${unroll(4, (at) => `  ${slab}Slab[deep * 4u + ${at}u][line / 4u][line % 4u] = value.${axis(at)};`)}
}`
      : `{
  let deep = rank / 16u;
  let quad = rank % 16u;
  var value = vec4<f32>();
  if (begin + deep < ${depth} && ${first} + quad * 4u < ${size}) {
${load('begin + deep', `${first} / 4u + quad`)}
}
  ${slab}Slab[deep][quad] = value;
}`
  const loop = (among: number[]): string => {
    const { depth } = partNames(variant, among[0]!)
    const load =
      (side: 'left' | 'right') =>
      (line: string, quad: string): string => {
        const reading = (part: number): string => `value = load_${partNames(variant, part)[side]}(${line}, ${quad});`
        const names = new Set(among.map((part) => partNames(variant, part)[side]))
        return names.size === 1 ? reading(among[0]!) : ofPart(parts, reading)
      }
    return `for (var begin = 0u; begin < ${depth}; begin += ${SLAB}u) {
${fill('left', mode !== 'TN', 'firstRow', 'rows', depth, load('left'))}
${fill('right', mode === 'NT', 'firstColumn', 'columns', depth, load('right'))}
workgroupBarrier();
for (var k = 0u; k < ${SLAB}u; k++) {
  let a = leftSlab[k][member.y];
  let b = rightSlab[k][member.x];
${unroll(4, (row) => `  sum${row} += a.${axis(row)} * b;`)}
}
workgroupBarrier();
}`
  }
  return {
    ...declared,
    workgroup: [SIDE / 4, SIDE / 4] as const,
    declarations: [
      ...declarations,
      `var<workgroup> leftSlab: array<array<vec4<f32>, ${SIDE / 4}>, ${SLAB}>;`,
      `var<workgroup> rightSlab: array<array<vec4<f32>, ${SIDE / 4}>, ${SLAB}>;`
    ].join('\n'),
    main: `${findPart(variant)}
let firstRow = place.y * ${SIDE}u;
let firstColumn = place.x * ${SIDE}u;
${sums.map((sum) => `var ${sum} = vec4<f32>();`).join('\n')}
${mode === 'NN' ? sumUp(variant, sums, (part) => loop([part])) : loop(numbered(parts))}
${ofPart(storing(variant), (part) =>
  sums
    .map((sum, row) => `store_${partNames(variant, part).output}(firstRow + member.y * 4u + ${row}u, firstColumn / 4u + member.x, ${sum});`)
    .join('\n')
)}`
  }
})

/** The program of a product in a tiling. */
export function matmulProgram(tile: Tile, variant: ProductVariant): Program {
  if (tile.kind === 'workgroup') return workgroupProgram(...constantsOf(variant))
  return registerProgram(tile.rows, tile.columns, tile.groupRows, tile.groupColumns, ...constantsOf(variant))
}
