// What is kept in IndexedDB: races, runs and checkpoints, as plain data and typed arrays.
import type { Curve, RunResult } from '../engine/training/records'
import type { RandomState } from '../engine/random'
import type { RaceRequest, RacePhase, RunRequest } from '../worker/protocol'

/** Tensor values by name, as they go into a safetensors file. */
export type StoredTensors = Record<string, { shape: number[]; data: Float32Array }>

/** A race as the library and a reload see it. */
export interface StoredRace {
  id: string
  name: string
  request: RaceRequest
  phase: RacePhase
  createdAt: number
  updatedAt: number
}

/** A run's page in the library; grows while it is tuned. */
export interface StoredRun {
  id: string
  raceId: string
  name: string
  request: RunRequest
  curve: Curve
  result?: RunResult
  createdAt: number
  updatedAt: number
}

export type CheckpointKind = 'best' | 'last'

/** Everything beside the tensors that makes a run go on exactly as if it had not stopped. */
export interface CheckpointState {
  step: number
  epoch: number
  /** Next position in this epoch's order of training examples. */
  position: number
  /** State at the start of the epoch, from which its order is made again. */
  epochRandom: RandomState
  random: RandomState
  /** Charged milliseconds and what else the run's accounts hold. */
  accounts: { trainMilliseconds: number; compileMilliseconds: number; evaluationMilliseconds: number; tokens: number; peakBytes: number }
  best: { step: number; loss: number; validationsWithoutGain: number }
  /** Bucketed batch shapes that are already compiled count anew after a reload; their charged time does not. */
  curve: Curve
}

export interface Checkpoint {
  runId: string
  kind: CheckpointKind
  state: CheckpointState
  /** Trained tensors by name, and for `last` the optimiser's as `first-moment/<name>` and `second-moment/<name>`. */
  tensors: StoredTensors
}
