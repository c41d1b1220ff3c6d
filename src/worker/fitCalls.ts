// The calls that tell what fits on this device before anything is started.
import type { MemoryReport } from '../engine/device/limits'
import type { RunRequest } from '../engine/training/events'
import type { FitProblem } from '../engine/training/fit'
import type { BatchShape, MemoryEstimate } from '../engine/training/stepMemory'
import type { ModelSource, TaskSource } from './protocol'

export interface FitRequest {
  model: ModelSource
  task: TaskSource
  /** Each is judged alone; those of `race` also together. */
  runs: RunRequest[]
  /** Ids of the runs that would race; one that would race with several seeds is named as often. */
  race: string[]
  /** Whether the device is to be timed, which takes up to a few seconds once for each model. */
  timed?: boolean
}

export interface RunFit {
  run: string
  estimate: MemoryEstimate
  /** Of one training step; absent where the device could not be timed. 0 where nothing is computed in a step. */
  secondsPerStep?: number
  problem?: FitProblem
}

export interface FitReport {
  /** The largest training batch. */
  batch: BatchShape
  runs: RunFit[]
  /** Those that race, with their evaluations. */
  race: { bytes: number; problem?: FitProblem }
  memory: MemoryReport
  /** Bytes of the largest tensor that the device binds. */
  maximumTensorBytes: number
  /** False where weights cannot stay packed here: they are float32 whatever was chosen. */
  packs: boolean
}

export interface FitApi {
  /** What the runs need and what this device has; loads nothing onto it. */
  fit(request: FitRequest): Promise<FitReport>
  /** Bytes that models and runs may take, in place of what is guessed; undefined takes the choice back. */
  setMemoryBudget(bytes: number | undefined): Promise<void>
}
