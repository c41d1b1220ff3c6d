// What every tiling of a matrix product is made of: modes, bindings, reads, stores, and how several products share a dispatch.
import { PACKINGS, type PackingId } from '../packings'
import { unroll } from './program'

/**
 * How the operands lie in memory, for a product `[rows, columns]` that sums over `depth`:
 * `NT`: left `[rows, depth]`, right `[columns, depth]`; `NN`: left `[rows, depth]`, right `[depth, columns]`;
 * `TN`: left `[depth, rows]`, right `[depth, columns]`.
 *
 * Several parts in one dispatch stand side by side along one dimension, each with its own buffers. `NT`: along the columns, with one left (query, key and
 * value of one input). `NN`: along the depth, into one result (the gradient of that input, a sum over the parts). `TN`: along the rows, with one right
 * (the gradients of the parts' weights). Parts that lie `apart` share no operand, and stand side by side along the columns (`NT`) or the rows.
 */
export type MatmulMode = 'NT' | 'NN' | 'TN'

/** Compile-time constants: which dimensions are whole quads (multiples of four) in every part, how the right operands are packed, and what is added. */
export interface ProductVariant {
  mode: MatmulMode
  parts: number
  apart: boolean
  wholeRows: boolean
  wholeColumns: boolean
  wholeDepth: boolean
  packing: PackingId | 'float32'
  /**
   * `asked`: a single product asks its uniforms for bias and residual; `all`: several have all their biases; `onto`: what the outputs hold already; `none`:
   * nothing.
   */
  added: 'asked' | 'all' | 'onto' | 'none'
}

export type Constants = readonly [MatmulMode, number, boolean, boolean, boolean, boolean, PackingId | 'float32', ProductVariant['added']]

export const constantsOf = (variant: ProductVariant): Constants => {
  const { mode, parts, apart, wholeRows, wholeColumns, wholeDepth, packing, added } = variant
  return [mode, parts, apart, wholeRows, wholeColumns, wholeDepth, packing, added]
}
export const variantOf = ([mode, parts, apart, wholeRows, wholeColumns, wholeDepth, packing, added]: Constants): ProductVariant => ({
  mode,
  parts,
  apart,
  wholeRows,
  wholeColumns,
  wholeDepth,
  packing,
  added
})

const AXES = ['x', 'y', 'z', 'w'] as const
export const axis = (index: number): string => AXES[index % 4] as string

/** Names of what part `part` reads and writes, and of its sizes. What parts share is numbered 0. */
export function partNames({ mode, parts, apart }: ProductVariant, part: number) {
  const own = (among: MatmulMode[]): number => (parts > 1 && !apart && !among.includes(mode) ? 0 : part)
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

/** Whether the parts are terms of one result. */
export const isSum = ({ mode, parts, apart }: Pick<ProductVariant, 'mode' | 'parts' | 'apart'>): boolean =>
  mode === 'NN' && parts > 1 && !apart

export const numbered = (count: number): number[] => Array.from({ length: count }, (_, at) => at)

/** Buffers and uniforms, in the order in which `matmul` hands them over. */
export function bindings(variant: ProductVariant) {
  const { mode, parts, wholeRows, wholeColumns, wholeDepth, packing, added } = variant
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
      ...(added === 'asked' || added === 'all'
        ? each(
            all.map(({ bias }) => bias),
            element(wholeColumns)
          )
        : {}),
      ...(added === 'asked' ? { residual: element(wholeColumns) } : {})
    },
    uniforms: {
      ...each(
        [
          ...all.flatMap(({ rows, columns, depth }) => [rows, columns, depth].map((name) => name.slice(2))),
          ...numbered(isSum(variant) ? 0 : parts - 1).map((part) => `end${part}`),
          ...(added === 'asked' ? ['hasBias', 'hasResidual'] : [])
        ],
        'u32'
      ),
      scale: 'f32' as const
    },
    declarations: [
      ...new Set(
        all.flatMap(({ left, right: name, rows, columns, depth }) => [
          loader(left, mode === 'TN' ? rows : depth, mode === 'TN' ? wholeRows : wholeDepth),
          packing === 'float32'
            ? loader(name, mode === 'NT' ? depth : columns, mode === 'NT' ? wholeDepth : wholeColumns)
            : packedLoader(name, mode === 'NT' ? depth : columns, packing)
        ])
      ),
      ...(added === 'asked' || added === 'all' ? all.map(({ bias, columns }) => loader(bias, columns, wholeColumns)) : []),
      ...(added === 'asked' ? [loader('residual', 'u.columns0', wholeColumns)] : []),
      ...(added === 'onto' ? new Set(all.map(({ output, columns }) => loader(output, columns, wholeColumns))) : []),
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
 * `store_<output>(row, quad, value)`: scales four sums, adds to them what is to be added, and writes those that lie inside the matrix. Whether a single product has
 * bias and residual is asked at run time, where it costs nothing beside the sums; as programs of their own they would take seconds to compile on a processor.
 */
function store(variant: ProductVariant, { output, bias, rows, columns }: ReturnType<typeof partNames>): string {
  const { wholeColumns, added } = variant
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
  var sum = value * u.scale;
  ${added === 'asked' ? 'if (u.hasBias != 0u) { sum += load_bias0(0u, quad); }' : ''}
  ${added === 'all' ? `sum += load_${bias}(0u, quad);` : ''}
  ${added === 'asked' ? 'if (u.hasResidual != 0u) { sum += load_residual(row, quad); }' : ''}
  ${added === 'onto' && !isSum(variant) ? `sum += load_${output}(row, quad);` : ''}
  ${write}
}`
}

/**
 * Finds the part that a workgroup works on: `part`, the first of its workgroups along the split dimension, and the part's own sizes. The same for all
 * threads of a workgroup, so barriers may follow.
 */
export function findPart(variant: ProductVariant): string {
  const { mode, parts } = variant
  const sizes = (part: number): string => {
    const { rows, columns, depth } = partNames(variant, part)
    return `rows = ${rows}; columns = ${columns}; depth = ${depth};`
  }
  const along = mode === 'NT' ? 'x' : 'y'
  const split = isSum(variant) ? 0 : parts - 1
  return `var part = 0u;
var start = vec2<u32>();
var rows: u32;
var columns: u32;
var depth: u32;
${sizes(0)}
${unroll(split, (end) => `if (group.${along} >= u.end${end}) { part = ${end + 1}u; start.${along} = u.end${end}; ${sizes(end + 1)} }`)}
let place = group.xy - start;`
}

/** The statements of the part that a workgroup works on. */
export function ofPart(parts: number, body: (part: number) => string): string {
  return numbered(parts)
    .map((part) =>
      parts === 1 ? body(0) : `${part > 0 ? ' else ' : ''}${part < parts - 1 ? `if (part == ${part}u) ` : ''}{\n${body(part)}\n}`
    )
    .join('')
}

/**
 * The sums over the depth. Of parts that are terms of one result it goes through all, and adds each part's finished sums to the total: the same numbers as with
 * one product after the other, each of which adds the one before as its residual.
 * @param place arguments of `load_output0` for each of `sums`; what lies outside the matrix is never stored
 */
export function sumUp(
  variant: ProductVariant,
  sums: readonly string[],
  place: (at: number) => string,
  loop: (part: number) => string
): string {
  const { parts, added } = variant
  if (!isSum(variant)) return ofPart(parts, loop)
  const before = (at: number): string => (added === 'onto' ? ` + load_output0(${place(at)})` : '')
  const after = (part: number): string => {
    if (part === 0) return sums.map((sum, at) => `var total_${sum} = ${sum}${before(at)};\n${sum} = vec4<f32>();`).join('\n')
    if (part < parts - 1) return sums.map((sum) => `total_${sum} = ${sum} + total_${sum};\n${sum} = vec4<f32>();`).join('\n')
    return sums.map((sum) => `${sum} += total_${sum};`).join('\n')
  }
  return numbered(parts)
    .map((part) => `{\n${loop(part)}\n}\n${after(part)}`)
    .join('\n')
}

/** Results that are stored. */
export const storing = (variant: ProductVariant): number => (isSum(variant) ? 1 : variant.parts)
