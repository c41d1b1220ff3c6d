// How matrix products are tiled on this device, as the settings show and change it.
import type { Engine } from '../client/client'
import type { TuningReport } from '../worker/tuningCalls'
import { describeError } from '../engine/errors'
import type { Problem } from './engineSession.svelte'
import type { SetupValues } from './setup'

export class TuningState {
  report = $state.raw<TuningReport | undefined>(undefined)
  problem = $state.raw<Problem | undefined>(undefined)
  readonly #api: Engine

  constructor(api: Engine) {
    this.#api = api
  }

  refresh(): Promise<void> {
    return this.#take(this.#api.tuningReport())
  }

  set({ tune, float16Products }: Pick<SetupValues, 'tune' | 'float16Products'>): Promise<void> {
    return this.#take(this.#api.setTuning(tune, float16Products))
  }

  reset(): Promise<void> {
    return this.#take(this.#api.resetTuning())
  }

  async #take(report: Promise<TuningReport>): Promise<void> {
    try {
      this.report = await report
      this.problem = undefined
    } catch (error) {
      this.problem = describeError(error)
    }
  }
}
