// What programs share that reduce each row of a matrix: the norms.
import type * as tf from '@tensorflow/tfjs'
import { WORKGROUP, type Dispatch, type Runner } from './run'

/**
 * `shared`: a workgroup to a row, whose threads read side by side and join their sums through workgroup memory. `alone`: a thread to a row, for processors
 * that play a GPU: they have few threads to fill, and a barrier costs them more than a row (SwiftShader: 5 to 10 times as much for rows of 128).
 */
export type RowOwner = 'shared' | 'alone'

/** Threads that share a row: rows of a small model are a hundred numbers wide, and each thread reads four at once. */
const ROW_THREADS = 32

interface RowProgram {
  workgroup: readonly [number]
  declarations: string
  /** Statement that declares `row`; threads without one leave, whole workgroups at a time. */
  ownRow: string
  /** Expression: the sum of a `vec2<f32>` over all threads that own the row, in one order. */
  overRow(value: string): string
  /** Loop over the lanes of the row that this thread reads; `at` is a lane's place in the matrix, `lane` in the row. */
  overLanes(visit: string): string
  /** Condition: the thread that writes what is one a row. */
  first: string
}

const overLanesFrom = (start: string, step: number) => (visit: string) =>
  `for (var lane = ${start}; lane < u.width; lane += ${step}u) {
let at = row * u.width + lane;
${visit}
}`

/** The WGSL by which programs reduce rows; their uniforms name `rows` and `width` (in lanes). */
export const ROW_PROGRAMS: Record<RowOwner, RowProgram> = {
  shared: {
    workgroup: [ROW_THREADS],
    declarations: `var<workgroup> partial: array<vec2<f32>, ${ROW_THREADS}>;
fn overRow(value: vec2<f32>, rank: u32) -> vec2<f32> {
  workgroupBarrier();
  partial[rank] = value;
  workgroupBarrier();
  var sum = vec2<f32>();
  for (var other = 0u; other < ${ROW_THREADS}u; other++) { sum += partial[other]; }
  return sum;
}`,
    ownRow: 'let row = group.x + group.y * groups.x;\nif (row >= u.rows) { return; }',
    overRow: (value) => `overRow(${value}, rank)`,
    overLanes: overLanesFrom('rank', ROW_THREADS),
    first: 'rank == 0u'
  },
  alone: {
    workgroup: [WORKGROUP],
    declarations: '',
    ownRow: `let row = thread.x + thread.y * groups.x * ${WORKGROUP}u;\nif (row >= u.rows) { return; }`,
    overRow: (value) => `(${value})`,
    overLanes: overLanesFrom('0u', 1),
    first: 'true'
  }
}

/** Adds what later uses of the same input gave its gradient: a norm's input is nearly always a residual stream, and goes on beside the norm. */
export const addSoFar = 'if (u.hasSoFar != 0u) { output[at] += soFar[at]; }'

/** Who owns a row on this device, and the workgroups for so many rows. */
export function rowOwner(run: Runner): RowOwner {
  return run.software ? 'alone' : 'shared'
}

export function rowGroups(run: Runner, x: tf.TensorInfo): Dispatch['groups'] {
  return run.grid(x.shape[0] as number, run.software ? WORKGROUP : 1)
}
