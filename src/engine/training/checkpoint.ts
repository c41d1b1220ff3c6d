// What a run needs to go on exactly as if it had not stopped: plain data and typed arrays.
import type { RandomState } from '../random'
import type { AccountsState } from './accounts'
import { isSnapshot } from '../meaning/trajectory'
import type { Curve, StopReason } from './records'

/** Tensor values by name, as they go into a safetensors file. */
export type StoredTensors = Record<string, { shape: number[]; data: Float32Array }>

export type CheckpointKind = 'best' | 'last'

/** Everything beside the tensors. */
export interface CheckpointState {
  step: number
  /** Updates of each part of the recipe; absent where an earlier version stored it: `step` of each. */
  partSteps?: number[]
  epoch: number
  /** Next position in this epoch's order of training examples. */
  position: number
  /** State at the start of the epoch, from which its order is made again. */
  epochRandom: RandomState
  random: RandomState
  /** Batch shapes that are already compiled count anew after a reload; their charged time does not. */
  accounts: AccountsState
  /**
   * The step whose tensors are kept, the highest macro F1 so far and the loss there: -1 and infinite before the first validation. Where answers are
   * written there is no F1, and the loss is the lowest so far.
   */
  best: { step: number; f1Macro?: number; loss: number; validationsWithoutGain: number }
  curve: Curve
  /** Set where the run takes no more steps. */
  stopReason?: StopReason
}

export interface Checkpoint {
  runId: string
  kind: CheckpointKind
  state: CheckpointState
  /**
   * Trained tensors by name, and for `last` the optimiser's as `first-moment/<name>` and `second-moment/<name>`, and where virtual tokens are trained
   * how they moved, as `trajectory/<step>`.
   */
  tensors: StoredTensors
}

const MOMENTS = { first: 'first-moment/', second: 'second-moment/' } as const

/** Under which name an optimiser moment of a trained tensor is stored. */
export const momentName = (moment: keyof typeof MOMENTS, name: string): string => MOMENTS[moment] + name

/** The trained tensors alone, without the optimiser's and without the trajectory. */
export function withoutMoments(tensors: StoredTensors): StoredTensors {
  const isTrained = (name: string): boolean => !isSnapshot(name) && !Object.values(MOMENTS).some((prefix) => name.startsWith(prefix))
  return Object.fromEntries(Object.entries(tensors).filter(([name]) => isTrained(name)))
}

/** The best tensors as a point to go on from: the optimiser begins anew there. */
export function withFreshMoments(best: Checkpoint): Checkpoint {
  const tensors = { ...best.tensors }
  for (const [name, { shape, data }] of Object.entries(best.tensors)) {
    for (const moment of ['first', 'second'] as const) tensors[momentName(moment, name)] = { shape, data: new Float32Array(data.length) }
  }
  return { ...best, kind: 'last', tensors }
}
