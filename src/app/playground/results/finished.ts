// Runs whose results are in: what the tabs and the table read.
import type { RunResult } from '../../../engine/training/records'
import type { RaceState, RunState } from '../../../state/raceFold'

export type FinishedRun = RunState & { result: RunResult }

export function finishedRuns(race: RaceState | undefined): FinishedRun[] {
  return (race?.runs ?? []).filter((run): run is FinishedRun => run.result !== undefined)
}
