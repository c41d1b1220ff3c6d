// Checkpoints: what a run needs to go on exactly, in chunks with checksums.
import { UserError } from '../engine/errors'
import { readSafetensors, tensorToFloat32, writeSafetensors } from '../engine/formats/safetensors'
import { DamageError } from './chunks'
import { parseExactly, stringifyExactly } from './exactJson'
import { withRoom } from './quota'
import type { Checkpoint, CheckpointKind, CheckpointState, StoredTensors } from './records'
import { checkpointChunks, readLibrary } from './stores'

export const checkpointKinds: readonly CheckpointKind[] = ['best', 'last']

const checkpointKey = (runId: string, kind: CheckpointKind) => `${runId}/${kind}`

/**
 * Stores a checkpoint in place of the run's one of this kind, which stays whole until the new one is. Float32 bits are kept.
 * The run must be in the library (`createRace`), or the next `sweepStorage` takes its checkpoints for remains.
 * @returns bytes stored
 * @throws UserError where there is no room
 */
export async function saveCheckpoint({ runId, kind, state, tensors }: Checkpoint): Promise<number> {
  return saveCheckpointFile(runId, kind, { state, tensors: writeSafetensors(tensors) })
}

/** As `saveCheckpoint`, with tensors that are a safetensors file already. */
export async function saveCheckpointFile(
  runId: string,
  kind: CheckpointKind,
  { state, tensors }: { state: CheckpointState; tensors: Uint8Array<ArrayBuffer> }
): Promise<number> {
  const parts = { state: new TextEncoder().encode(stringifyExactly(state)), tensors }
  return withRoom(() => checkpointChunks.write(checkpointKey(runId, kind), parts), parts.state.length + tensors.length)
}

/**
 * Reads a checkpoint and checks each chunk; undefined where none was saved.
 * @throws UserError where it is damaged
 */
export async function loadCheckpoint(runId: string, kind: CheckpointKind): Promise<Checkpoint | undefined> {
  const parts = await namingDamage(runId, kind, () => checkpointChunks.read(checkpointKey(runId, kind)))
  if (!parts?.state || !parts.tensors) return undefined
  return { runId, kind, state: parseExactly(new TextDecoder().decode(parts.state)) as CheckpointState, tensors: unpack(parts.tensors) }
}

/**
 * The checkpoint to go on from: `last`, or where that is damaged `best`, which holds no optimiser state.
 * `problem` says what was damaged, so that a run that goes on from an earlier point never does so silently.
 */
export async function loadForResume(runId: string): Promise<{ checkpoint?: Checkpoint; problem?: UserError }> {
  try {
    return { checkpoint: await loadCheckpoint(runId, 'last') }
  } catch (problem) {
    if (!(problem instanceof UserError)) throw problem
    return { checkpoint: await loadCheckpoint(runId, 'best').catch(() => undefined), problem }
  }
}

/** As `loadCheckpoint`, with the tensors as the safetensors file that they are stored as. */
export async function loadCheckpointFile(
  runId: string,
  kind: CheckpointKind
): Promise<{ state: CheckpointState; tensors: Blob } | undefined> {
  const parts = await namingDamage(runId, kind, () => checkpointChunks.readBlobs(checkpointKey(runId, kind)))
  if (!parts?.state || !parts.tensors) return undefined
  return { state: parseExactly(await parts.state.text()) as CheckpointState, tensors: parts.tensors }
}

export interface CheckpointEntry {
  runId: string
  kind: CheckpointKind
  bytes: number
  /** Milliseconds since 1970. */
  savedAt: number
}

/** What is stored, of one run or of all, without reading it. */
export async function listCheckpoints(runId?: string): Promise<CheckpointEntry[]> {
  const values = await checkpointChunks.list()
  return values
    .map(({ key, bytes, savedAt }) => {
      const slash = key.lastIndexOf('/')
      return { runId: key.slice(0, slash), kind: key.slice(slash + 1) as CheckpointKind, bytes, savedAt }
    })
    .filter((entry) => runId === undefined || entry.runId === runId)
}

export async function deleteCheckpoint(runId: string, kind: CheckpointKind): Promise<void> {
  await checkpointChunks.delete(checkpointKey(runId, kind))
}

export async function deleteCheckpoints(runId: string): Promise<void> {
  for (const kind of checkpointKinds) await deleteCheckpoint(runId, kind)
}

function unpack(bytes: Uint8Array): StoredTensors {
  const file = readSafetensors(bytes)
  // Object.fromEntries, unlike assignment, keeps a tensor called "__proto__".
  return Object.fromEntries([...file.tensors].map(([name, { shape }]) => [name, { shape, data: tensorToFloat32(file, name) }]))
}

async function namingDamage<T>(runId: string, kind: CheckpointKind, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    if (!(error instanceof DamageError)) throw error
    const run = await readLibrary((records) => records.get('run', runId))
    throw new UserError(
      `The ${kind} checkpoint of “${run?.name ?? runId}” is damaged: ${error.message}.`,
      kind === 'last' ? 'Use the run’s best checkpoint, or tune it again.' : 'Tune the run again; its curve and results are kept.'
    )
  }
}
