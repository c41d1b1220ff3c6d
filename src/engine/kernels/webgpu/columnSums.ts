// Sums down the columns of a matrix: the gradients of biases and of the gains of norms.
import type * as tf from '@tensorflow/tfjs'
import { lanesFor, variants, type Lanes, type Program } from './program'
import { rowOwner, type RowOwner } from './rows'
import type { Runner } from './run'

/** Columns (in lanes) and rows that a workgroup's threads stand on. */
const ACROSS = 16
const DOWN = 16

/**
 * A workgroup owns 16 lanes of columns; its 16 rows of threads walk down the matrix with a stride of 16, keep their sums in registers, and add them up
 * through workgroup memory in one order, so that the result never changes. Where rows are owned `alone`, one thread walks down a column: a processor compiles
 * that four times as fast. `term` is what a thread adds at `[row, lane]`. With `onto` the sums are added to what the output holds.
 */
export const columnSumProgram = (name: string, inputs: NonNullable<Program['inputs']>, term: string) =>
  variants(`columnSum ${name}`, (lanes: Lanes, owner: RowOwner, onto: boolean) => {
    const down = owner === 'alone' ? 1 : DOWN
    const join = `partial[rank] = sum;
workgroupBarrier();
if (member.y != 0u) { return; }
for (var other = 1u; other < ${DOWN}u; other++) { sum += partial[other * ${ACROSS}u + member.x]; }`
    return {
      lanes,
      outputs: { output: 'Lane' },
      inputs,
      uniforms: { rows: 'u32', width: 'u32' },
      workgroup: [ACROSS, down],
      declarations: owner === 'alone' ? '' : `var<workgroup> partial: array<Lane, ${ACROSS * DOWN}>;`,
      main: `let lane = group.x * ${ACROSS}u + member.x;
var sum = Lane();
if (lane < u.width) {
  for (var row = member.y; row < u.rows; row += ${down}u) { sum += ${term}; }
}
${owner === 'alone' ? '' : join}
if (lane < u.width) { output[lane] ${onto ? '+=' : '='} sum; }`
    }
  })

/** Records the sum over rows of `term`, `[width]`. */
export function columnSums(
  run: Runner,
  program: ReturnType<typeof columnSumProgram>,
  output: tf.TensorInfo,
  inputs: readonly tf.TensorInfo[],
  rows: number,
  width: number,
  onto = false
): void {
  const lanes = lanesFor(width)
  run.run(program(lanes, rowOwner(run), onto), {
    outputs: [output],
    inputs,
    uniforms: [rows, width / lanes],
    groups: [Math.ceil(width / lanes / ACROSS)]
  })
}

/** The plain sum of a matrix's rows. */
export const plainColumnSum = columnSumProgram('plain', { x: 'Lane' }, 'x[row * u.width + lane]')
