// The models that were downloaded or brought along, and what is being fetched now.
import { connectModelSources, type ModelSources } from '../client/client'
import { describeError } from '../engine/errors'
import { deleteModel, listModels, modelId, type ModelEntry } from '../storage/models'
import type { KeptSource, ModelSource, Progress } from '../worker/protocol'
import type { ChosenFile, HubRequest, ModelOffer } from '../worker/sources/protocol'
import type { Problem } from './engineSession.svelte'
import { modelTitle } from './modelKeys'
import { TransferRate } from './transferRate'

/** What is being fetched. */
export interface Fetching {
  name: string
  progress?: Progress
  bytesPerSecond?: number
  secondsLeft?: number
}

export class ModelShelf {
  /** Undefined until they are listed. */
  entries = $state.raw<readonly ModelEntry[] | undefined>(undefined)
  /** What was looked up on the hub. */
  offer = $state.raw<ModelOffer | undefined>(undefined)
  fetching = $state.raw<Fetching | undefined>(undefined)
  isLooking = $state(false)
  problem = $state.raw<Problem | undefined>(undefined)
  #sources: ModelSources | undefined

  constructor(readonly connect: () => ModelSources = connectModelSources) {}

  async refresh(): Promise<void> {
    try {
      this.entries = await listModels()
    } catch (error) {
      // Storage may be closed to the page; the models of the site need none.
      this.entries = []
      this.problem = describeError(error)
    }
  }

  /** Whether a model can be loaded as it is: those of the site always. */
  has(source: ModelSource): boolean {
    if (source.kind === 'site') return true
    return this.entries?.some((entry) => entry.isComplete && entry.id === modelId(source)) ?? false
  }

  async look(request: HubRequest): Promise<void> {
    this.offer = undefined
    this.isLooking = true
    await this.#attempt(async (sources) => (this.offer = await sources.look(request)))
    this.isLooking = false
  }

  /** Undefined where it was cancelled or failed. */
  download(request: HubRequest): Promise<KeptSource | undefined> {
    return this.#fetch(request.repository, (sources, onProgress) => sources.download(request, onProgress))
  }

  take(files: ChosenFile[]): Promise<KeptSource | undefined> {
    const name = files[0]?.path.split('/')[0] ?? ''
    return this.#fetch(name, (sources, onProgress) => sources.take(files, onProgress))
  }

  async cancel(): Promise<void> {
    await this.#sources?.cancel()
  }

  async delete(entry: ModelEntry): Promise<void> {
    await this.#attempt(() => deleteModel(entry.id))
    await this.refresh()
  }

  async #fetch(
    name: string,
    call: (sources: ModelSources, onProgress: (progress: Progress) => void) => Promise<KeptSource | undefined>
  ): Promise<KeptSource | undefined> {
    const rate = new TransferRate()
    this.fetching = { name }
    const show = (progress: Progress): void => {
      rate.note(performance.now() / 1000, progress.loaded)
      this.fetching = { name, progress, bytesPerSecond: rate.bytesPerSecond, secondsLeft: rate.secondsLeft(progress.total) }
    }
    // A line that stands still sends no progress, and its speed falls all the same.
    const clock = setInterval(() => this.fetching?.progress && show(this.fetching.progress), 1000)
    const source = await this.#attempt((sources) => call(sources, show))
    clearInterval(clock)
    this.fetching = undefined
    if (source) this.offer = undefined
    const { problem } = this
    await this.refresh()
    this.problem ??= problem
    return source
  }

  async #attempt<T>(work: (sources: ModelSources) => Promise<T>): Promise<T | undefined> {
    this.problem = undefined
    try {
      return await work((this.#sources ??= this.connect()))
    } catch (error) {
      this.problem = describeError(error)
      return undefined
    }
  }
}

/** What asks the hub for a stored model again. */
export const requestOf = (entry: ModelEntry): HubRequest | undefined =>
  entry.source.kind === 'hub' && entry.address !== undefined
    ? { repository: entry.source.repository, revision: entry.source.revision, address: entry.address }
    : undefined

export const entryTitle = (entry: ModelEntry): string => modelTitle(entry.source)
