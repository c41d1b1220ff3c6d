// What the library page lists, and the clearing up at the start.
import type { ModelSource, RacePhase, TaskSource } from '../worker/protocol'
import { deleteCheckpoints, listCheckpoints } from './checkpoints'
import type { CheckpointEntry } from './checkpoints'
import { withLock, withLockIfFree } from './locks'
import { newestFirst } from './races'
import type { CheckpointKind } from './records'
import { checkpointChunks, modelPieces, readLibrary } from './stores'
import type { ResultSummary } from './stores'

/** A run as a row of the library. */
export interface LibraryEntry {
  id: string
  raceId: string
  name: string
  raceName: string
  /** The last part of the model's path: "tuneground-2m". */
  model: string
  /** The last part of the task's path, or the name of the user's file. */
  task: string
  /** Of the recipe's parts, as registry ids. */
  methods: string[]
  phase: RacePhase
  createdAt: number
  updatedAt: number
  /** Once the run is finished. */
  summary?: ResultSummary
  /** On disk; 0 where there is none. */
  bytes: Record<CheckpointKind, number>
}

/** All runs: the newest race first, its runs in their order. Reads neither curves nor tensors. */
export async function libraryEntries(): Promise<LibraryEntry[]> {
  const [checkpoints, [races, runs]] = await Promise.all([
    listCheckpoints(),
    readLibrary((records) => Promise.all([records.all('race'), records.all('run')]))
  ])
  const runById = new Map(runs.map((run) => [run.id, run]))
  const bytesOf = bytesByRun(checkpoints)
  return newestFirst(races).flatMap((race) =>
    race.request.runs.flatMap(({ id }) => {
      const run = runById.get(id)
      if (!run) return []
      return {
        id,
        raceId: race.id,
        name: run.name,
        raceName: race.name,
        model: sourceName(race.request.model),
        task: sourceName(race.request.task),
        methods: run.request.recipe.parts.map((part) => part.method),
        phase: run.summary ? 'finished' : race.phase,
        createdAt: run.createdAt,
        updatedAt: run.updatedAt,
        ...(run.summary && { summary: run.summary }),
        bytes: bytesOf.get(id) ?? { best: 0, last: 0 }
      } satisfies LibraryEntry
    })
  )
}

/** The name of a model or task for people: the last part of its path, its repository, or the user's file or folder. */
export function sourceName(source: ModelSource | TaskSource): string {
  if (source.kind === 'hub') return source.repository
  return source.kind === 'site' ? (source.path.split('/').at(-1) ?? source.path) : source.name
}

const importLock = 'tuneground-import'

/** An import writes checkpoints before their run is in the library; meanwhile they are not remains. */
export function withImportLock<T>(work: () => Promise<T>): Promise<T> {
  return withLock(importLock, 'exclusive', work)
}

/** To be called at the start: deletes what a killed tab left half-written. What other tabs write now is left alone. */
export async function sweepStorage(): Promise<void> {
  await checkpointChunks.sweep()
  await modelPieces.sweep()
  await withLockIfFree(importLock, deleteCheckpointsWithoutRun, () => {})
}

async function deleteCheckpointsWithoutRun(): Promise<void> {
  // Checkpoints first: a run that comes into the library in between is then seen.
  const checkpoints = await listCheckpoints()
  const runIds = new Set((await readLibrary((records) => records.all('run'))).map((run) => run.id))
  for (const { runId } of checkpoints) if (!runIds.has(runId)) await deleteCheckpoints(runId)
}

function bytesByRun(checkpoints: CheckpointEntry[]): Map<string, Record<CheckpointKind, number>> {
  const sizes = new Map<string, Record<CheckpointKind, number>>()
  for (const { runId, kind, bytes } of checkpoints) sizes.set(runId, { ...(sizes.get(runId) ?? { best: 0, last: 0 }), [kind]: bytes })
  return sizes
}
