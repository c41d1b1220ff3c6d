// Where some rows of a pass go a way of their own: those whose queries alone are asked, and virtual tokens that alone are trained.
import * as tf from '@tensorflow/tfjs'
import { derived, fixed } from '../hostArrays'
import { queryPlaces } from '../kernels/attention'
import { gatherRows } from '../kernels/gatherRows'
import { isDifferentiated } from '../kernels/gradients'
import type { RotaryShape, RotaryTable } from '../kernels/rotary'
import type { Adaptation } from '../methods/method'
import type { Pass } from './decoder'

/** Rotary angles, and the shape in which they meet the tokens of a pass. */
export type Angles = Pick<RotaryShape, 'batch' | 'time' | 'offset' | 'shared'> & { table: RotaryTable }

/** The rows whose queries are asked where that is not all of them: those states, already normed, and which rows of all they are. */
export interface Asked {
  x: tf.Tensor2D
  rows: Int32Array
}

/** What a method may bring in without making more than virtual tokens depend on it, up to the first layer's attention. */
const LEAVES_WEIGHTS: readonly string[] = ['virtualTokens', 'keyValues', 'labelScores'] satisfies (keyof Adaptation)[]

/** The shared rows of what enters the first layer, where gradients go to these and to nothing else up to its attention. */
export function trainedFront(x: tf.Tensor2D, { shared = 0, adaptation }: Pick<Pass, 'shared' | 'adaptation'>): tf.Tensor2D | undefined {
  const isAlone = Object.entries(adaptation).every(([name, hook]) => hook === undefined || LEAVES_WEIGHTS.includes(name))
  if (shared === 0 || !isAlone || !tf.engine().isTapeOn() || !isDifferentiated(x)) return undefined
  return gatherRows(x, fixed(Int32Array.from({ length: shared }, (_, row) => row)))
}

/** The angles of some rows of a pass. */
export function anglesOf(rows: Int32Array, { table, offset, time, shared }: Angles): Angles {
  const positions = derived(rows, (all) =>
    Int32Array.from(queryPlaces(all, { keyTime: time, shared }), ({ position }) => offset + position)
  )
  return {
    table: { cosine: gatherRows(table.cosine, positions), sine: gatherRows(table.sine, positions) },
    batch: 1,
    time: rows.length,
    offset: 0
  }
}
