// Every call and event between the page and the worker: plain data, typed once, carried by Comlink.
import type { BackendName, DeviceReport } from '../engine/device/report'
import type { RaceCommand, RaceEvent, RunRequest } from '../engine/training/events'
import type { RaceSettings } from '../engine/training/recipe'
import type { Precision } from '../engine/model/precision'
import type { FileTaskOptions } from '../tasks/fileTask'
import type { Task } from '../tasks/task'
import type { EnsembleApi } from './ensembleCalls'
import type { FitApi } from './fitCalls'
import type { LabApi } from './labCalls'
import type { MeaningApi } from './meaningCalls'
import type { StartsApi } from './startCalls'
import type { StreamApi } from './streamCalls'
import type { TransferApi } from './transferCalls'
import type { TuningApi } from './tuningCalls'

export type { FileTaskOptions }

export type { RaceCommand, RaceEvent, RacePhase, RunRequest } from '../engine/training/events'

export type { BackendName, DeviceReport }

export interface Progress {
  /** What is being done, in words: "Downloading weights". */
  stage: string
  loaded: number
  total: number
  unit: 'bytes' | 'examples' | 'items'
}

interface Held {
  /** How the frozen weights are held on the device; `stored` where absent. */
  precision?: Precision
}

/** A model that was downloaded from a hub, at one commit, or brought along from this computer; its files are kept in the browser's storage. */
export type KeptSource = HubSource | LocalSource

interface HubSource extends Held {
  kind: 'hub'
  repository: string
  revision: string
}

interface LocalSource extends Held {
  kind: 'local'
  name: string
  id: string
}

interface SiteSource extends Held {
  kind: 'site'
  path: string
}

/** Where a model is: a folder of the site (`models/tuneground-2m`), or this browser's storage; always in the Hugging Face layout. */
export type ModelSource = SiteSource | KeptSource

export interface ModelReport {
  id: string
  source: ModelSource
  parameters: number
  layers: number
  hiddenSize: number
  vocabularySize: number
  maximumPositions: number
  architecture: string
  /** Bytes of the loaded base on the device. */
  deviceBytes: number
  /** The model card (README.md), where there is one. */
  card?: string
}

/** A task of the site (`tasks/reviews`), or a file of the user's, already read as text. */
export type TaskSource =
  | {
      kind: 'site'
      path: string
      /** In place of the task's own. */
      template?: string
      /** By label name; in place of the task's own. */
      labelWords?: Record<string, string>
    }
  | { kind: 'file'; name: string; text: string; options: FileTaskOptions }

export interface TaskReport {
  id: string
  source: TaskSource
  task: Task
  counts: { train: number; validation: number; test: number }
  /** The first rendered training prompts, with their labels, for a look. */
  samples: { text: string; label: string }[]
  /** The first validation examples, by field: to try what a model answers to what it has not learnt. */
  unseen: Record<string, string>[]
  card?: string
  /** What was found odd: rows left out, texts cut. */
  notes: string[]
}

export interface RaceRequest {
  id: string
  name: string
  model: ModelSource
  task: TaskSource
  runs: RunRequest[]
  settings: RaceSettings
}

/** What one model answers to a typed text. */
export interface Answer {
  /** A run's id, or `base` for the untouched model with the task's template. */
  run: string
  /** By label, summing to 1; empty for generation tasks. */
  probabilities: { label: string; probability: number }[]
}

/** The worker's door. Every rejected promise carries `{ message, advice }` (see `describeError`). */
export interface EngineApi extends EnsembleApi, FitApi, LabApi, TuningApi, StartsApi, StreamApi, TransferApi, MeaningApi {
  /** Picks and starts a backend; `prefer` forces one. */
  start(options: { prefer?: BackendName; siteRoot: string }): Promise<DeviceReport>
  loadModel(source: ModelSource, onProgress: (progress: Progress) => void): Promise<ModelReport>
  loadTask(source: TaskSource): Promise<TaskReport>
  /** Numbers trained, by run id, before anything starts. */
  trainableParameters(model: ModelSource, runs: RunRequest[]): Promise<Record<string, number>>
  /** Starts (or, where checkpoints of this race are stored, goes on with) a race; resolves when it is finished or stopped. */
  race(request: RaceRequest, onEvent: (event: RaceEvent) => void): Promise<void>
  command(command: RaceCommand): Promise<void>
  /**
   * How likely each of the models finds the labels for a text, given by field of the template: `base`, runs of the race, or runs of the library, whose
   * model and task are then loaded.
   */
  answer(fields: Record<string, string>, runs: string[]): Promise<Answer[]>
}
