// The calls that carry what was tuned out of the library and into it.
import type { ExportKind } from '../engine/formats/exports'
import type { PeftFiles } from '../engine/formats/peft'
import type { RaceSettings, Recipe } from '../engine/training/recipe'
import type { ModelSource, RaceRequest, TaskSource } from './protocol'

export type { ExportKind, PeftFiles }

export interface AdapterImport {
  /** The folder of each adapter; several act together, as in the recipe that they came from. */
  adapters: PeftFiles[]
  name: string
  model: ModelSource
  task: TaskSource
  settings: RaceSettings
  /** How it is tuned further; the parts are the adapters'. */
  recipe: Omit<Recipe, 'parts'>
  /** In place of the registry's. */
  rates?: { learningRate?: number; weightDecay?: number }
  /** True where it is only to be tested, false where tuning goes on from it. */
  evaluateOnly: boolean
}

export interface TransferApi {
  /** A zip of a stored run's best tensors in that form, with a README.md. */
  exportRun(runId: string, kind: ExportKind): Promise<Blob>
  /** Stores PEFT adapters as a race of one run at step 0; `race` with the request then tests it or goes on. */
  importAdapter(adapter: AdapterImport): Promise<RaceRequest>
  /** Stores a new race whose run starts from the best tensors of a stored one. */
  tuneFurther(runId: string, settings: RaceSettings): Promise<RaceRequest>
}
