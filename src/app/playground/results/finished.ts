// Runs whose results are in: what the tabs and the table read.
import type { ClassificationResult, GenerationResult, RunResult } from '../../../engine/training/records'
import type { RaceState, RunState } from '../../../state/raceFold'

export type FinishedRun<Result extends RunResult = RunResult> = RunState & { result: Result }

export function finishedRuns(race: RaceState | undefined): FinishedRun[] {
  return (race?.runs ?? []).filter((run): run is FinishedRun => run.result !== undefined)
}

/** Those that name labels. */
export const labelRuns = (runs: readonly FinishedRun[]): FinishedRun<ClassificationResult>[] =>
  runs.filter((run): run is FinishedRun<ClassificationResult> => run.result.kind === 'classification')

/** Those that write answers. */
export const writtenRuns = (runs: readonly FinishedRun[]): FinishedRun<GenerationResult>[] =>
  runs.filter((run): run is FinishedRun<GenerationResult> => run.result.kind === 'generation')
