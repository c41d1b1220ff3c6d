// Runs in the library: their curve and result while and after they are tuned.
import { UserError } from '../engine/errors'
import type { ClassificationResult, RunResult } from '../engine/training/records'
import { deleteCheckpoints } from './checkpoints'
import { withRaceLock } from './locks'
import { checkName } from './names'
import { withRoom } from './quota'
import { existingRace } from './races'
import type { StoredRun } from './records'
import { changeLibrary, readLibrary } from './stores'
import type { Records, ResultSummary, RunDetails, RunRecord } from './stores'

export async function getRun(id: string): Promise<StoredRun | undefined> {
  return readLibrary(async (records) => {
    const [run, details] = await Promise.all([records.get('run', id), records.get('details', id)])
    return run && details && joined(run, details)
  })
}

/** The runs of a race, in its order. */
export async function runsOfRace(raceId: string): Promise<StoredRun[]> {
  return readLibrary(async (records) => {
    const race = await records.get('race', raceId)
    const runs = (race?.request.runs ?? []).map(async ({ id }) => {
      const [run, details] = await Promise.all([records.get('run', id), records.get('details', id)])
      return run && details ? [joined(run, details)] : []
    })
    return (await Promise.all(runs)).flat()
  })
}

/**
 * Stores a run's curve (meant for validations, not for each step: it is written whole) or its result.
 * @throws UserError where the run was deleted, or there is no room
 */
export async function updateRun(id: string, change: { curve?: StoredRun['curve']; result?: RunResult }): Promise<void> {
  await withRoom(() =>
    changeLibrary(async (records) => {
      const run = await existingRun(records, id)
      const details = await records.get('details', id)
      const result = change.result ?? details?.result
      putRun(records, {
        ...run,
        updatedAt: Date.now(),
        curve: change.curve ?? details?.curve ?? { steps: [], validation: [] },
        ...(result && { result })
      })
    })
  )
}

/** @throws UserError where the run was deleted, or the name is not one */
export async function renameRun(id: string, name: string): Promise<void> {
  checkName(name)
  await changeLibrary(async (records) => {
    const run = await existingRun(records, id)
    const race = await existingRace(records, run.raceId)
    const request = { ...run.request, name }
    records.put('run', id, { ...run, name, request, updatedAt: Date.now() })
    records.put('race', race.id, {
      ...race,
      request: { ...race.request, runs: race.request.runs.map((other) => (other.id === id ? request : other)) }
    })
  })
}

/**
 * Deletes a run with its checkpoints, and its race where it was the only one.
 * @throws UserError while its race goes on somewhere
 */
export async function deleteRun(id: string): Promise<void> {
  const run = await readLibrary((records) => records.get('run', id))
  if (!run) return
  await withRaceLock(run.raceId, async () => {
    // The record last: a kill in between leaves a run that can be deleted again, not bytes that nobody sees.
    await deleteCheckpoints(id)
    await changeLibrary(async (records) => {
      records.delete('run', id)
      records.delete('details', id)
      const race = await records.get('race', run.raceId)
      if (!race) return
      const runs = race.request.runs.filter((other) => other.id !== id)
      if (runs.length > 0) records.put('race', race.id, { ...race, request: { ...race.request, runs } })
      else records.delete('race', race.id)
    })
  })
}

/** Writes a whole run, with the summary that lists show. */
export function putRun(records: Records, { curve, result, ...run }: StoredRun): void {
  records.put('run', run.id, result ? { ...run, summary: summarise(result) } : run)
  records.put('details', run.id, result ? { curve, result } : { curve })
}

function joined({ summary: _, ...run }: RunRecord, { curve, result }: RunDetails): StoredRun {
  return { ...run, curve, ...(result && { result: withKind(result) }) }
}

/** Before answers could be written there was no other kind of result, and none was named. */
const withKind = (result: RunResult | Omit<ClassificationResult, 'kind'>): RunResult =>
  'kind' in result ? result : { ...result, kind: 'classification' }

async function existingRun(records: Records, id: string): Promise<RunRecord> {
  const run = await records.get('run', id)
  if (!run) throw new UserError('This run is no longer in the library.', 'It was deleted, perhaps in another tab; start a new race.')
  return run
}

function summarise(result: RunResult): ResultSummary {
  const { stopReason, bestStep, forgetting, cost } = result
  const scores =
    result.kind === 'generation'
      ? { testPerplexity: result.test.perplexity, untrainedPerplexity: result.untrained.perplexity }
      : { testAccuracy: result.test.accuracy, testF1Macro: result.test.macro.f1, untrainedAccuracy: result.untrained.accuracy }
  return {
    stopReason,
    bestStep,
    steps: cost.steps,
    seconds: cost.seconds,
    trainableParameters: cost.trainableParameters,
    adapterBytes: cost.adapterBytes,
    peakBytes: cost.peakBytes,
    ...scores,
    forgotten: forgetting.after - forgetting.before
  }
}
