// A run as a zip archive, and back: tensors as safetensors, the rest as JSON, and a card to read.
import * as v from 'valibot'
import { version as application } from '../../package.json'
import { UserError } from '../engine/errors'
import { modelCard, type Fact } from '../engine/formats/modelCard'
import { readSafetensors } from '../engine/formats/safetensors'
import { cardOf } from './card'
import { checkpointKinds, deleteCheckpoints, loadCheckpointFile, saveCheckpointFile } from './checkpoints'
import { parseExactly, stringifyExactly } from './exactJson'
import { withImportLock } from './library'
import { importedName } from './names'
import { assertRoom, withRoom } from './quota'
import type { CheckpointKind, CheckpointState, StoredRace, StoredRun } from './records'
import { getRace } from './races'
import { getRun, putRun } from './runs'
import { checkpointStateSchema, firstIssue, storedRaceSchema, storedRunSchema } from './schema'
import { changeLibrary, readLibrary } from './stores'
import { readZip, writeZip } from './zip'
import type { FileToZip, ZippedFile } from './zip'

const format = 'tuneground-run'
/** Raised when `run.json` changes so that older readers would misread it. */
const formatVersion = 1

const maximumJsonBytes = 100_000_000
/** Browsers fail at single buffers much above. */
const maximumTensorBytes = 2_000_000_000

const documentSchema = v.object({
  format: v.literal(format),
  version: v.literal(formatVersion),
  /** Tuneground's version. */
  application: v.string(),
  run: storedRunSchema,
  /** The race with this run alone. */
  race: storedRaceSchema,
  checkpoints: v.object({ best: v.optional(checkpointStateSchema), last: v.optional(checkpointStateSchema) })
})
type RunDocument = v.InferOutput<typeof documentSchema>

const tensorFileName = (kind: CheckpointKind) => `${kind}.safetensors`

/**
 * A zip of `run.json`, `README.md`, `best.safetensors` and `last.safetensors`, as far as there are checkpoints. A damaged
 * `last` is left out, and the card says so. The user's own data file is in `run.json`, as going on needs it.
 * @throws UserError where there is no such run, or its best checkpoint is damaged
 */
export async function exportRun(runId: string): Promise<Blob> {
  const run = await getRun(runId)
  const race = run && (await getRace(run.raceId))
  if (!race) throw new UserError('This run is no longer in the library.', 'It was deleted, perhaps in another tab.')
  const states: Partial<Record<CheckpointKind, CheckpointState>> = {}
  const tensorFiles: FileToZip[] = []
  const notes: string[] = []
  for (const kind of checkpointKinds) {
    try {
      const checkpoint = await loadCheckpointFile(runId, kind)
      if (!checkpoint) continue
      states[kind] = checkpoint.state
      tensorFiles.push({ name: tensorFileName(kind), data: checkpoint.tensors, compress: false })
    } catch (error) {
      if (kind === 'best' || !(error instanceof UserError)) throw error
      notes.push(`The last checkpoint is left out: ${error.message}`)
    }
  }
  const alone: StoredRace = { ...race, request: { ...race.request, runs: [run.request] } }
  const document: RunDocument = { format, version: formatVersion, application, run, race: alone, checkpoints: states }
  return writeZip([
    { name: 'README.md', data: new Blob([archiveCard(run, alone, states, notes)]), compress: true },
    { name: 'run.json', data: new Blob([stringifyExactly(document)]), compress: true },
    ...tensorFiles
  ])
}

function archiveCard(run: StoredRun, race: StoredRace, states: Partial<Record<CheckpointKind, CheckpointState>>, notes: string[]): string {
  const subject = cardOf(run, race)
  const tensors = Object.entries(states).map(([kind, state]): Fact => [
    tensorFileName(kind as CheckpointKind),
    `tensors after step ${state.step}, float32`
  ])
  const note = 'The text of this file is in `run.json`, as going on needs it: think of that before you pass the archive on.'
  return modelCard({
    ...subject,
    about:
      'A run of Tuneground, a playground for tuning small language models in the browser. Import this archive in its library to go on or to ask the model.',
    task: { ...subject.task, ...(race.request.task.kind === 'file' && { note }) },
    files: [['run.json', 'request, curve and results; checkpoints’ step, random state and accounts'], ...tensors],
    notes
  })
}

/**
 * Takes an exported run into the library, as a race of its own. An id or name that is taken gives way to a new one.
 * @throws UserError where the archive is damaged, hostile, or of a newer version, or there is no room; then nothing is kept
 */
export async function importRun(archive: Blob | Uint8Array<ArrayBuffer>): Promise<StoredRun> {
  const files = await readZip(archive instanceof Blob ? archive : new Blob([archive]))
  const document = await readDocument(files)
  const tensorBytes = checkpointKinds.reduce((sum, kind) => sum + (files.get(tensorFileName(kind))?.bytes ?? 0), 0)
  await assertRoom(tensorBytes)
  return withImportLock(async () => {
    const { run, race } = await withFreeNames(document)
    try {
      for (const kind of checkpointKinds) {
        const state = document.checkpoints[kind]
        if (!state) continue
        await saveCheckpointFile(run.id, kind, { state, tensors: await readTensors(files, kind) })
      }
      await withRoom(() =>
        changeLibrary(async (records) => {
          records.put('race', race.id, race)
          putRun(records, run)
        })
      )
    } catch (error) {
      await deleteCheckpoints(run.id)
      throw error
    }
    return run
  })
}

const notOurs = (detail: string) =>
  new UserError(`This archive is not a run of Tuneground: ${detail}.`, 'Choose a zip that was exported from the library.')

async function readDocument(files: Map<string, ZippedFile>): Promise<RunDocument> {
  const bytes = await files.get('run.json')?.read(maximumJsonBytes)
  if (!bytes) throw notOurs('it has no run.json')
  let content: unknown
  try {
    content = parseExactly(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw notOurs('its run.json is not JSON')
  }
  const head = v.safeParse(v.object({ format: v.literal(format), version: v.number() }), content)
  if (!head.success) throw notOurs(`in run.json, ${firstIssue(head.issues)}`)
  if (head.output.version > formatVersion) {
    throw new UserError(
      'This run was exported by a newer version of Tuneground.',
      'Reload the page to get the newest version, then import it again.'
    )
  }
  const document = v.safeParse(documentSchema, content)
  if (!document.success) throw notOurs(`in run.json, ${firstIssue(document.issues)}`)
  return document.output
}

async function readTensors(files: Map<string, ZippedFile>, kind: CheckpointKind): Promise<Uint8Array<ArrayBuffer>> {
  const name = tensorFileName(kind)
  const bytes = await files.get(name)?.read(maximumTensorBytes)
  if (!bytes) throw notOurs(`run.json tells of ${name}, which is missing`)
  for (const [tensor, { dtype }] of readSafetensors(bytes).tensors) {
    if (dtype !== 'F32') throw notOurs(`in ${name}, “${tensor.slice(0, 80)}” is ${dtype}, not F32`)
  }
  return bytes
}

/** The run and its race under ids and names that nothing in the library has. */
async function withFreeNames({ run, race }: RunDocument): Promise<{ run: StoredRun; race: StoredRace }> {
  const [runs, races] = await readLibrary((records) => Promise.all([records.all('run'), records.all('race')]))
  const runId = freeId(run.id, runs)
  const raceId = freeId(race.id, races)
  const name = importedName(run.name, new Set(runs.map((other) => other.name)))
  const raceName = importedName(race.name, new Set(races.map((other) => other.name)))
  const request = { ...run.request, id: runId, name }
  return {
    run: { ...run, id: runId, raceId, name, request },
    race: {
      ...race,
      id: raceId,
      name: raceName,
      request: { ...race.request, id: raceId, name: raceName, runs: [request] },
      phase: run.result ? 'finished' : 'paused'
    }
  }
}

function freeId(id: string, taken: { id: string }[]): string {
  return /^[\w-]+$/.test(id) && taken.every((other) => other.id !== id) ? id : crypto.randomUUID()
}
