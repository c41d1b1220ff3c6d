// What is kept in IndexedDB: races, runs and checkpoints, as plain data and typed arrays.
import type { Curve, RunResult } from '../engine/training/records'
import type { DeviceReport, RaceRequest, RacePhase, RunRequest } from '../worker/protocol'

export type { Checkpoint, CheckpointKind, CheckpointState, StoredTensors } from '../engine/training/checkpoint'

/** A race as the library and a reload see it. */
export interface StoredRace {
  id: string
  name: string
  request: RaceRequest
  phase: RacePhase
  /** What computed it; a race that was cut goes on there, since another backend rounds differently. */
  device?: Pick<DeviceReport, 'backend' | 'adapter'>
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
