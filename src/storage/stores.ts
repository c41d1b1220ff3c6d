// The databases: trained tensors and models in chunks, and the library's small records by kind and id.
import { createStore, promisifyRequest } from 'idb-keyval'
import type { RunResult } from '../engine/training/records'
import { ChunkStore } from './chunks'
import { assertStorageAllowed } from './locks'
import type { StoredModel } from './models'
import type { StoredRace, StoredRun } from './records'
import { transact } from './transaction'

export const checkpointChunks = new ChunkStore('tuneground-checkpoints')

/** Pieces of models' files; each is one value. */
export const modelPieces = new ChunkStore('tuneground-models')

/** A finished run in a few numbers, for lists. */
export interface ResultSummary {
  stopReason: RunResult['stopReason']
  bestStep: number
  steps: number
  seconds: number
  trainableParameters: number
  adapterBytes: number
  peakBytes: number
  /** Where labels are named. */
  testAccuracy?: number
  testF1Macro?: number
  untrainedAccuracy?: number
  /** Where answers are written. */
  testPerplexity?: number
  untrainedPerplexity?: number
  /** Nats per token that the model lost on general prose. */
  forgotten: number
}

/** A run as lists need it; what grows lies beside it, so that a list reads little. */
export interface RunRecord extends Omit<StoredRun, 'curve' | 'result'> {
  summary?: ResultSummary
}

export type RunDetails = Pick<StoredRun, 'curve' | 'result'>

interface RecordKinds {
  race: StoredRace
  run: RunRecord
  details: RunDetails
  model: StoredModel
}

const library = createStore('tuneground-library', 'records')

/** The records inside one transaction. */
export interface Records {
  get<Kind extends keyof RecordKinds>(kind: Kind, id: string): Promise<RecordKinds[Kind] | undefined>
  all<Kind extends keyof RecordKinds>(kind: Kind): Promise<RecordKinds[Kind][]>
  put<Kind extends keyof RecordKinds>(kind: Kind, id: string, record: RecordKinds[Kind]): void
  delete(kind: keyof RecordKinds, id: string): void
}

const recordsOf = (store: IDBObjectStore): Records => ({
  get: (kind, id) => promisifyRequest(store.get([kind, id])),
  all: (kind) => promisifyRequest(store.getAll(IDBKeyRange.bound([kind], [kind, []]))),
  put: (kind, id, record) => void store.put(record, [kind, id]),
  delete: (kind, id) => void store.delete([kind, id])
})

/** Reads records as they are at one moment. `work` may await nothing else. */
export async function readLibrary<T>(work: (records: Records) => Promise<T>): Promise<T> {
  assertStorageAllowed()
  return library('readonly', (store) => work(recordsOf(store)))
}

/** Changes records, all or none. `work` may await nothing else. */
export async function changeLibrary<T>(work: (records: Records) => Promise<T>): Promise<T> {
  assertStorageAllowed()
  return transact(library, (store) => work(recordsOf(store)))
}
