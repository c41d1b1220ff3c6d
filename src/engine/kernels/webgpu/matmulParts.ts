// What every tiling of a matrix product is made of: modes, bindings, reads, stores, and how several products share a dispatch.
import { PACKINGS, type PackingId } from '../packings'
import { unroll } from './program'

/**
 * How the operands lie in memory, for a product `[rows, columns]` that sums over `depth`:
 * `NT`: left `[rows, depth]`, right `[columns, depth]`; `NN`: left `[rows, depth]`, right `[depth, columns]`;
 * `TN`: left `[depth, rows]`, right `[depth, columns]`.
 *
 */
export type MatmulMode = 'NT' | 'NN' | 'TN'

/**
 * What several parts in one dispatch have in common. `beside`: one operand; they stand side by side along the columns with one left (`NT`: query, key and value of
 * one input) or along the rows with one right (`TN`: the gradients of their weights). `terms`: one result, the sum of all (`NN`: the gradient of that input).
 * `apart`: nothing; they stand side by side along the columns (`NT`) or the rows.
 */
export type Arrangement = 'beside' | 'terms' | 'apart'

/** Compile-time constants: which dimensions are whole quads (multiples of four) in every part, how the right operands are packed, and what is added. */
export interface ProductVariant {
  mode: MatmulMode
  parts: number
  arrangement: Arrangement
  wholeRows: boolean
  wholeColumns: boolean
  wholeDepth: boolean
  packing: PackingId | 'float32'
  /** So many parts are packed, the first ones. */
  packed: number
  /**
   * `asked`: a single result asks its uniforms for bias and residual; `all`: several have all their biases; `onto`: what the outputs hold already; `none`:
   * nothing.
   */
  added: 'asked' | 'all' | 'onto' | 'none'
}

export type Constants = readonly [
  MatmulMode,
  number,
  Arrangement,
  boolean,
  boolean,
  boolean,
  PackingId | 'float32',
  number,
  ProductVariant['added']
]

export const constantsOf = (variant: ProductVariant): Constants => {
  const { mode, parts, arrangement, wholeRows, wholeColumns, wholeDepth, packing, packed, added } = variant
  return [mode, parts, arrangement, wholeRows, wholeColumns, wholeDepth, packing, packed, added]
}
export const variantOf = (constants: Constants): ProductVariant => {
  const [mode, parts, arrangement, wholeRows, wholeColumns, wholeDepth, packing, packed, added] = constants
  return { mode, parts, arrangement, wholeRows, wholeColumns, wholeDepth, packing, packed, added }
}

const AXES = ['x', 'y', 'z', 'w'] as const
export const axis = (index: number): string => AXES[index % 4] as string

/** Names of what part `part` reads and writes, and of its sizes. What parts share is numbered 0. */
export function partNames({ mode, arrangement }: Pick<ProductVariant, 'mode' | 'arrangement'>, part: number) {
  const own = (ofTerms: boolean, beside: MatmulMode | 'both' | 'neither'): number =>
    arrangement === 'apart' || (arrangement === 'terms' ? ofTerms : beside === mode || beside === 'both') ? part : 0
  return {
    left: `left${own(true, 'TN')}`,
    right: `right${own(true, 'NT')}`,
    output: `output${own(false, 'both')}`,
    bias: `bias${own(false, 'NT')}`,
    rows: `u.rows${own(false, 'TN')}`,
    columns: `u.columns${own(false, 'NT')}`,
    depth: `u.depth${own(true, 'neither')}`
  }
}

/** Whether several parts are terms of one result. */
export const isSum = ({ parts, arrangement }: Pick<ProductVariant, 'parts' | 'arrangement'>): boolean =>
  parts > 1 && arrangement === 'terms'

export const numbered = (count: number): number[] => Array.from({ length: count }, (_, at) => at)

/** Buffers and uniforms, in the order in which `matmul` hands them over. */
export function bindings(variant: ProductVariant) {
  const { mode, parts, wholeRows, wholeColumns, wholeDepth, packing, packed, added } = variant
  const element = (whole: boolean) => (whole ? 'vec4<f32>' : 'f32') as 'vec4<f32>' | 'f32'
  const packingOf = (part: number): ProductVariant['packing'] => (part < packed ? packing : 'float32')
  const right = (part: number) => {
    const packingOfPart = packingOf(part)
    return packingOfPart === 'float32' ? element(mode === 'NT' ? wholeDepth : wholeColumns) : PACKINGS[packingOfPart].element
  }
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
      ...Object.fromEntries(all.map((names, part) => [names.right, right(part)])),
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
        all.flatMap(({ left, right: name, rows, columns, depth }, part) => {
          const packingOfPart = packingOf(part)
          return [
            loader(left, mode === 'TN' ? rows : depth, mode === 'TN' ? wholeRows : wholeDepth),
            packingOfPart === 'float32'
              ? loader(name, mode === 'NT' ? depth : columns, mode === 'NT' ? wholeDepth : wholeColumns)
              : packedLoader(name, mode === 'NT' ? depth : columns, packingOfPart)
          ]
        })
      ),
      ...(added === 'asked' || added === 'all' ? new Set(all.map(({ bias, columns }) => loader(bias, columns, wholeColumns))) : []),
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
 * `finish_<output>(row, quad, value)`: scales four sums, and adds to them what is to be added. Whether a single result has bias and residual is asked at run time, where
 * it costs nothing beside the sums; as programs of their own they would take seconds to compile on a processor. `store_<output>(row, quad, value)`: finishes
 * four sums, but for terms, and writes those that lie inside the matrix.
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
  return `fn finish_${output}(row: u32, quad: u32, value: vec4<f32>) -> vec4<f32> {
  var sum = value * u.scale;
  ${added === 'asked' ? 'if (u.hasBias != 0u) { sum += load_bias0(0u, quad); }' : ''}
  ${added === 'all' ? `sum += load_${bias}(0u, quad);` : ''}
  ${added === 'asked' ? 'if (u.hasResidual != 0u) { sum += load_residual(row, quad); }' : ''}
  ${added === 'onto' ? `sum += load_${output}(row, quad);` : ''}
  return sum;
}
fn store_${output}(row: u32, quad: u32, value: vec4<f32>) {
  if (row >= ${rows} || quad * 4u >= ${columns}) { return; }
  let sum = ${isSum(variant) ? 'value' : `finish_${output}(row, quad, value)`};
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
 * The sums over the depth. Of parts that are terms of one result it goes through all, finishes the first and adds each other to the total: the same numbers as
 * with one product after the other, each added onto the ones before.
 * @param place row and quad of each of `sums`; what lies outside the matrix is never stored
 */
export function sumUp(
  variant: ProductVariant,
  sums: readonly string[],
  place: (at: number) => string,
  loop: (part: number) => string
): string {
  const { parts } = variant
  if (!isSum(variant)) return ofPart(parts, loop)
  const after = (part: number): string => {
    if (part === 0)
      return sums.map((sum, at) => `var total_${sum} = finish_output0(${place(at)}, ${sum});\n${sum} = vec4<f32>();`).join('\n')
    if (part < parts - 1) return sums.map((sum) => `total_${sum} = ${sum} + total_${sum};\n${sum} = vec4<f32>();`).join('\n')
    return sums.map((sum) => `${sum} += total_${sum};`).join('\n')
  }
  return numbered(parts)
    .map((part) => `{\n${loop(part)}\n}\n${after(part)}`)
    .join('\n')
}

/** Results that are stored. */
export const storing = (variant: ProductVariant): number => (isSum(variant) ? 1 : variant.parts)
