// How virtual tokens moved while they were tuned: snapshots at validations, thinned evenly where they become many.
import type { StoredTensors } from '../training/checkpoint'

/** Enough for a smooth picture; 20 virtual tokens of 128 numbers then take half a megabyte. */
export const MAXIMUM_SNAPSHOTS = 48

export interface Snapshot {
  step: number
  /** `[virtualTokens, hidden]`. */
  shape: number[]
  data: Float32Array
}

const PREFIX = 'trajectory/'

/** Whether a stored tensor is a snapshot and not a trained one. */
export const isSnapshot = (name: string): boolean => name.startsWith(PREFIX)

/**
 * The snapshots with one more. Where they are too many, the one goes whose neighbours lie closest together: the first and the last always stay,
 * and the rest stay spread over the steps, however long the run becomes.
 */
export function withSnapshot(snapshots: readonly Snapshot[], snapshot: Snapshot, maximum = MAXIMUM_SNAPSHOTS): Snapshot[] {
  const all = [...snapshots.filter(({ step }) => step < snapshot.step), snapshot]
  if (all.length <= maximum) return all
  let closest = 1
  const gap = (i: number): number => all[i + 1]!.step - all[i - 1]!.step
  for (let i = 2; i < all.length - 1; i++) if (gap(i) < gap(closest)) closest = i
  return all.filter((_, i) => i !== closest)
}

/** As tensors of a checkpoint. */
export function snapshotTensors(snapshots: readonly Snapshot[]): StoredTensors {
  return Object.fromEntries(snapshots.map(({ step, shape, data }) => [`${PREFIX}${step}`, { shape, data }]))
}

/** The snapshots among a checkpoint's tensors, in the order of their steps; none where the run kept none. */
export function snapshotsOf(tensors: StoredTensors): Snapshot[] {
  return Object.entries(tensors)
    .filter(([name]) => isSnapshot(name))
    .map(([name, { shape, data }]) => ({ step: Number(name.slice(PREFIX.length)), shape, data }))
    .filter(({ step, shape }) => Number.isInteger(step) && shape.length === 2)
    .sort((a, b) => a.step - b.step)
}
