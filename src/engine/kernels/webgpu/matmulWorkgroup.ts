// Matrix products through workgroup memory: threads copy slabs of both operands there and read them many times.
import {
  axis,
  bindings,
  constantsOf,
  findPart,
  isSum,
  numbered,
  ofPart,
  partNames,
  storing,
  sumUp,
  variantOf,
  type Constants,
  type ProductVariant
} from './matmulParts'
import { unroll, variants, type Program } from './program'

/** Outputs of a workgroup tile along each side, and how deep a slab of the operands lies in workgroup memory. */
export const SIDE = 64
const SLAB = 16

/**
 * 256 threads compute 64 x 64 outputs, 4 x 4 each. They first copy a slab of both operands, 64 x 16, to workgroup memory (one vector a thread and operand),
 * depth outermost; each value is then read 16 times from there instead of from memory.
 */
const program = variants('matmul workgroup', (...constants: Constants) => {
  const variant = variantOf(constants)
  const { mode, parts, arrangement } = variant
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
    const depth = arrangement === 'apart' ? 'depth' : partNames(variant, among[0]!).depth
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
  const placeOf = (row: number): string => `firstRow + member.y * 4u + ${row}u, firstColumn / 4u + member.x`
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
${isSum(variant) ? sumUp(variant, sums, placeOf, (part) => loop([part])) : loop(numbered(parts))}
${ofPart(storing(variant), (part) =>
  sums.map((sum, row) => `store_${partNames(variant, part).output}(${placeOf(row)}, ${sum});`).join('\n')
)}`
  }
})

/** The program of a product in a workgroup tile. */
export const workgroupProgram = (variant: ProductVariant): Program => program(...constantsOf(variant))
