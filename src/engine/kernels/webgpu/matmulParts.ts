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
  /**
   * `asked`: a single product asks its uniforms for bias and residual; several have all their biases; `none`: nothing is added; `onto`: the product is added to
   * what the output holds.
   */
  bias: 'asked' | 'all' | 'none' | 'onto'
}

export type Constants = readonly [MatmulMode, number, boolean, boolean, boolean, PackingId | 'float32', ProductVariant['bias']]

export const constantsOf = (variant: ProductVariant): Constants => {
  const { mode, parts, wholeRows, wholeColumns, wholeDepth, packing, bias } = variant
  return [mode, parts, wholeRows, wholeColumns, wholeDepth, packing, bias]
}
export const variantOf = ([mode, parts, wholeRows, wholeColumns, wholeDepth, packing, bias]: Constants): ProductVariant => ({
  mode,
  parts,
  wholeRows,
  wholeColumns,
  wholeDepth,
  packing,
  bias
})

const AXES = ['x', 'y', 'z', 'w'] as const
export const axis = (index: number): string => AXES[index % 4] as string

/** Names of what part `part` reads and writes, and of its sizes. What parts share is numbered 0. */
export function partNames({ mode, parts }: ProductVariant, part: number) {
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

export const numbered = (count: number): number[] => Array.from({ length: count }, (_, at) => at)

/** Buffers and uniforms, in the order in which `matmul` hands them over. */
export function bindings(variant: ProductVariant) {
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
      ...(bias === 'asked' || bias === 'all'
        ? each(
            all.map((names) => names.bias),
            element(wholeColumns)
          )
        : {}),
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
      ...(bias === 'asked' || bias === 'all' ? all.map((names) => loader(names.bias, names.columns, wholeColumns)) : []),
      ...(bias === 'onto' ? all.map((names) => loader(names.output, names.columns, wholeColumns)) : []),
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
 * `store_<output>(row, quad, value)`: adds bias and residual to four outputs and writes those that lie inside the matrix. Whether a single product has them is
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
  ${biased === 'onto' ? `sum += load_${output}(row, quad);` : ''}
  ${biased === 'all' ? `sum += load_${bias}(0u, quad);` : ''}
  ${biased === 'asked' ? 'if (u.hasResidual != 0u) { sum += load_residual(row, quad); }' : ''}
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
export function ofPart(parts: number, body: (part: number) => string): string {
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
export function sumUp(variant: ProductVariant, sums: readonly string[], loop: (part: number) => string): string {
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

export const storing = ({ mode, parts }: ProductVariant): number => (mode === 'NN' ? 1 : parts)
