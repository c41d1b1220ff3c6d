// The calls that make starts: a soft prompt that is meta-learned over several tasks.
import type { ReptileRecord, ReptileSettings } from '../engine/training/reptile'
import type { Recipe } from '../engine/training/recipe'
import type { ModelSource, RacePhase, TaskSource } from './protocol'

export type { ReptileRecord, ReptileSettings }

export interface MetaLearnRequest {
  /** Ids of the race and of the run as which the prompt is kept in the library. */
  id: string
  runId: string
  name: string
  model: ModelSource
  /** At least two; the task that is to be learnt from the prompt should not be among them. */
  tasks: TaskSource[]
  /** One soft prompt: its number of virtual tokens, its start, the learning rate of the steps on each task, batch size and seed. */
  recipe: Recipe
  settings: ReptileSettings
}

/** Pushed while a prompt is meta-learned, in order. */
export type MetaLearnEvent =
  | { type: 'phase'; phase: RacePhase; detail: string }
  | { type: 'iteration'; record: ReptileRecord; iterations: number }
  | { type: 'time-left'; seconds: number }
  /** The prompt as it now is lies in the library. */
  | { type: 'saved'; iteration: number }

export interface StartsApi {
  /**
   * Meta-learns a soft prompt (Reptile) and keeps it as a run of the library, to start from (`start: 'saved'`). Paused, gone on with and stopped by
   * `command`; what was learnt until a stop is kept.
   */
  metaLearn(request: MetaLearnRequest, onEvent: (event: MetaLearnEvent) => void): Promise<void>
}
