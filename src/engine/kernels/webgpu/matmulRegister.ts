// Matrix products in registers: each thread reads its operands straight from memory, alone or together with three neighbours.
import {
  axis,
  bindings,
  constantsOf,
  findPart,
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
import type { RegisterTile } from './tiles'

/** How deep a round of the loop goes: SwiftShader masks and stores each sum once a round, and one deep took 1.4 times as long. */
const DEEP = 4

/** Which of the numbered items of a thread's rows or columns its registers hold, and how they get there. */
interface Side {
  /** Expression: the item in register `at`. */
  item(at: number): string
  /** Registers that are read from memory. */
  own(count: number): number[]
  /** Declares `name(at)` for each of `count` registers: read, or taken from the neighbour that reads it. */
  declare(count: number, name: (at: number) => string, read: (at: number) => string): string
}

const ALONE: Side = {
  item: (at) => `${at}u`,
  own: numbered,
  declare: (count, name, read) => unroll(count, (at) => `let ${name(at)} = ${read(at)};`)
}

/**
 * Of each two items a lane reads the one that its `bit` says, and has the other from the neighbour whose bit differs. So the two hold the same items in
 * another order of registers, which only the stores need to know.
 */
const shared = (bit: string, swap: string): Side => ({
  item: (at) => `${at - (at % 2)}u + (${bit} ^ ${at % 2}u)`,
  own: (count) => numbered(count).filter((at) => at % 2 === 0),
  declare: (count, name, read) => unroll(count, (at) => `let ${name(at)} = ${at % 2 === 0 ? read(at) : `${swap}(${name(at - 1)})`};`)
})

/** Lanes side by side share their rows, lanes above each other their columns. */
const SHARED = { down: shared('lane.x', 'quadSwapX'), along: shared('lane.y', 'quadSwapY') }

/** A thin tile has one item along one side, which cannot be halved. */
const sideOf = (kind: RegisterTile['kind'], side: keyof typeof SHARED, items: number): Side =>
  kind === 'quad' && items % 2 === 0 ? SHARED[side] : ALONE

/** Declares `mine`, the thread's place in its workgroup; the four lanes of a quad stand two by two. Ends threads outside, quads only as a whole. */
function findPlace({ kind, rows, columns, groupRows, groupColumns }: RegisterTile): string {
  const first = (corner: string): string => `let row = (place.y * ${groupRows}u + mine.y) * ${rows}u;
let column = (place.x * ${groupColumns}u + mine.x) * ${columns}u;
if (row${corner && ` - lane.y * ${rows}u`} >= rows || column${corner && ` - lane.x * ${columns}u`} >= columns) { return; }`
  if (kind !== 'quad') return `let mine = member.xy;\n${first('')}`
  return `let lane = vec2<u32>(rank, rank >> 1u) & vec2<u32>(1u);
let mine = vec2<u32>((rank >> 2u) % ${groupColumns / 2}u, (rank >> 2u) / ${groupColumns / 2}u) * 2u + lane;
${first('lane')}`
}

/**
 * A thread owns `rows` x `columns` outputs in registers. Each round of the loop reads four deep as vectors and multiplies all rows by all columns: 8 x 8 does
 * 256 multiplications for 16 vector reads, for 8 where a quad shares them. Threads at the border read clamped lines and store nothing outside.
 */
const program = variants(
  'matmul',
  (
    kind: RegisterTile['kind'],
    tileRows: number,
    tileColumns: number,
    groupRows: number,
    groupColumns: number,
    ...constants: Constants
  ): Omit<Program, 'key'> => {
    const variant = variantOf(constants)
    const { mode } = variant
    const { declarations, ...declared } = bindings(variant)
    const quads = tileColumns / 4
    const down = sideOf(kind, 'down', mode === 'TN' ? tileRows / 4 : tileRows)
    const along = sideOf(kind, 'along', quads)
    const sums = numbered(tileRows * quads).map((at) => `sum${Math.floor(at / quads)}_${at % quads}`)
    const rounded = (value: string): string => (kind === 'float16' ? `vec4<f16>(${value})` : value)
    /** sum_row_quad += left(row) * right(quad) for every row and quad; in float16, by way of the sum of a round. */
    const multiply = (step: number, left: (row: number) => string, right: (quad: number) => string): string =>
      unroll(tileRows * quads, (at) => {
        const product = `${left(Math.floor(at / quads))} * ${right(at % quads)}`
        if (kind !== 'float16') return `${sums[at]} += ${product};`
        if (step === 0) return `var round_${sums[at]} = ${product};`
        return `round_${sums[at]} += ${product};${step === DEEP - 1 ? `\n${sums[at]} += vec4<f32>(round_${sums[at]});` : ''}`
      })
    /** Four depths: what is read for all, then for each depth what it reads and multiplies. */
    const loop = (part: number): string => {
      const { left, right, depth } = partNames(variant, part)
      const rowAt = (step: number) => (row: number) => `a${row}.${axis(step)}`
      const rowReads = down.declare(
        tileRows,
        (row) => `a${row}`,
        (row) => rounded(`load_${left}(row${row}, k / ${DEEP}u)`)
      )
      const round: Record<typeof mode, () => string> = {
        NT: () => `${rowReads}
${along
  .own(quads)
  .flatMap((quad) => [0, 1, 2, 3].map((at) => `let b${quad}_${at} = load_${right}(line${quad}_${at}, k / ${DEEP}u);`))
  .join('\n')}
${unroll(
  DEEP,
  (step) => `${along.declare(
    quads,
    (quad) => `across${step}_${quad}`,
    (quad) => rounded(`vec4<f32>(${[0, 1, 2, 3].map((at) => `b${quad}_${at}.${axis(step)}`).join(', ')})`)
  )}
${multiply(step, rowAt(step), (quad) => `across${step}_${quad}`)}`
)}`,
        NN: () => `${rowReads}
${unroll(
  DEEP,
  (step) => `${along.declare(
    quads,
    (quad) => `b${step}_${quad}`,
    (quad) => rounded(`load_${right}(min(k + ${step}u, ${depth} - 1u), quad${quad})`)
  )}
${multiply(step, rowAt(step), (quad) => `b${step}_${quad}`)}`
)}`,
        // Beyond the depth the left operand is zero, and no sum changes.
        TN: () =>
          unroll(
            DEEP,
            (step) => `${down.declare(
              tileRows / 4,
              (at) => `a${step}_${at}`,
              (at) => `select(vec4<f32>(), load_${left}(min(k + ${step}u, ${depth} - 1u), rowQuad${at}), k + ${step}u < ${depth})`
            )}
${along.declare(
  quads,
  (quad) => `b${step}_${quad}`,
  (quad) => `load_${right}(min(k + ${step}u, ${depth} - 1u), quad${quad})`
)}
${multiply(
  step,
  (row) => `a${step}_${Math.floor(row / 4)}.${axis(row)}`,
  (quad) => `b${step}_${quad}`
)}`
          )
      }
      return `for (var k = 0u; k < ${depth}; k += ${DEEP}u) {\n${round[mode]()}\n}`
    }
    const rowPlaces =
      mode === 'TN'
        ? down.own(tileRows / 4).map((at) => `let rowQuad${at} = min(row / 4u + ${down.item(at)}, (rows - 1u) / 4u);`)
        : down.own(tileRows).map((at) => `let row${at} = min(row + ${down.item(at)}, rows - 1u);`)
    const columnPlaces = along
      .own(quads)
      .map((quad) =>
        mode === 'NT'
          ? unroll(4, (at) => `let line${quad}_${at} = min(column + (${along.item(quad)}) * 4u + ${at}u, columns - 1u);`)
          : `let quad${quad} = min(column / 4u + ${along.item(quad)}, (columns - 1u) / 4u);`
      )
    const rowOf = (row: number): string =>
      mode === 'TN' ? `row + (${down.item(Math.floor(row / 4))}) * 4u + ${row % 4}u` : `row + ${down.item(row)}`
    const placeOf = (at: number): string => `${rowOf(Math.floor(at / quads))}, column / 4u + ${along.item(at % quads)}`
    return {
      ...declared,
      subgroups: kind === 'quad',
      float16: kind === 'float16',
      workgroup: kind === 'quad' ? ([groupColumns * groupRows] as const) : ([groupColumns, groupRows] as const),
      declarations: declarations.join('\n'),
      main: `${findPart(variant)}
${findPlace({ kind, rows: tileRows, columns: tileColumns, groupRows, groupColumns })}
${[...rowPlaces, ...columnPlaces].join('\n')}
${sums.map((sum) => `var ${sum} = vec4<f32>();`).join('\n')}
${sumUp(variant, sums, placeOf, loop)}
${ofPart(storing(variant), (part) =>
  sums.map((sum, at) => `store_${partNames(variant, part).output}(${placeOf(at)}, ${sum});`).join('\n')
)}`
    }
  }
)

/** The program of a product in a register tile. */
export function registerProgram({ kind, rows, columns, groupRows, groupColumns }: RegisterTile, variant: ProductVariant): Program {
  return program(kind, rows, columns, groupRows, groupColumns, ...constantsOf(variant))
}
