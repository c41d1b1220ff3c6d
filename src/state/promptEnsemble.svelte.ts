// Soft prompts of one task asked together: which are chosen, and how they do alone and together.
import { describeError } from '../engine/errors'
import type { LibraryEntry } from '../storage/library'
import type { EnsembleRequest, EnsembleResult } from '../worker/ensembleCalls'
import type { EngineApi, Progress } from '../worker/protocol'
import type { Problem } from './engineSession.svelte'

/** Prompts that are asked in one batch at most. */
export const MAXIMUM_MEMBERS = 5

export class PromptEnsemble {
  chosen = $state.raw<string[]>([])
  split = $state<EnsembleRequest['split']>('validation')
  result = $state.raw<EnsembleResult | undefined>(undefined)
  progress = $state.raw<Progress | undefined>(undefined)
  problem = $state.raw<Problem | undefined>(undefined)
  readonly #engine: Pick<EngineApi, 'ensemble'>
  #asked = 0

  constructor(engine: Pick<EngineApi, 'ensemble'>) {
    this.#engine = engine
  }

  get canAsk(): boolean {
    return this.chosen.length >= 2 && this.progress === undefined
  }

  /** Begins anew with the newest of these runs. */
  offer(runs: readonly LibraryEntry[]): void {
    this.chosen = runs.slice(0, MAXIMUM_MEMBERS).map(({ id }) => id)
    this.reset()
  }

  choose(id: string, chosen: boolean): void {
    const others = this.chosen.filter((other) => other !== id)
    this.chosen = chosen ? [...others, id].slice(-MAXIMUM_MEMBERS) : others
    this.reset()
  }

  /** Drops a result that no longer belongs to what is chosen. */
  reset(): void {
    this.#asked++
    this.result = this.progress = this.problem = undefined
  }

  async ask(): Promise<void> {
    if (!this.canAsk) return
    const asked = ++this.#asked
    const isCurrent = () => asked === this.#asked
    this.problem = undefined
    this.progress = { stage: 'Asking the prompts', loaded: 0, total: 1, unit: 'items' }
    try {
      const request = { runs: [...this.chosen], split: this.split }
      const result = await this.#engine.ensemble(request, (progress) => {
        if (isCurrent()) this.progress = progress
      })
      if (isCurrent()) this.result = result
    } catch (error) {
      if (isCurrent()) this.problem = describeError(error)
    } finally {
      if (isCurrent()) this.progress = undefined
    }
  }
}
