// Fetches models one at a time: from a hub or from this computer into the browser's storage.
import { UserError } from '../../engine/errors'
import type { KeptSource, Progress } from '../protocol'
import { openHubModel, type HubModel } from './hub'
import { keepModel, type ArrivingModel } from './keep'
import { openLocalModel } from './local'
import type { ChosenFile, HubRequest, ModelOffer, ModelSourcesApi } from './protocol'

export class ModelSourcesSession implements ModelSourcesApi {
  #controller = new AbortController()
  #underWay: Promise<unknown> = Promise.resolve()
  /** What was looked at last, so that its download fetches no small file again. */
  #looked: HubModel | undefined

  look(request: HubRequest): Promise<ModelOffer | undefined> {
    return this.#alone(async () => (await this.#open(request)).offer)
  }

  download(request: HubRequest, onProgress: (progress: Progress) => void): Promise<KeptSource | undefined> {
    return this.#alone(async (signal) => {
      const looked = this.#looked?.offer
      const isLooked =
        looked?.source.repository === request.repository &&
        looked.source.revision === request.revision &&
        looked.address === request.address
      return this.#keep(isLooked ? this.#looked! : await this.#open(request), onProgress, signal)
    })
  }

  take(files: ChosenFile[], onProgress: (progress: Progress) => void): Promise<KeptSource | undefined> {
    return this.#alone(async (signal) => this.#keep(await openLocalModel(files), onProgress, signal))
  }

  cancel(): Promise<void> {
    this.#controller.abort()
    return Promise.resolve()
  }

  async #keep(model: ArrivingModel, onProgress: (progress: Progress) => void, signal: AbortSignal): Promise<KeptSource> {
    await keepModel(model, onProgress, signal)
    this.#looked = undefined
    return model.source
  }

  /** Cancels what went on before and waits for its end; resolves to undefined where it is cancelled itself. */
  #alone<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> {
    this.#controller.abort()
    const controller = new AbortController()
    this.#controller = controller
    const result = this.#underWay.then(async () => {
      try {
        controller.signal.throwIfAborted()
        return await work(controller.signal)
      } catch (error) {
        if (controller.signal.aborted) return undefined
        throw error
      }
    })
    this.#underWay = result.catch(() => undefined)
    return result
  }

  async #open(request: HubRequest): Promise<HubModel> {
    try {
      return (this.#looked = await openHubModel(request, () => this.#controller.signal))
    } catch (error) {
      if (error instanceof UserError || this.#controller.signal.aborted) throw error
      throw new UserError(`${new URL(request.address).host} did not answer as a hub does.`, 'Check the hub’s address.')
    }
  }
}
