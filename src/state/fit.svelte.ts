// What fits on this device: asked of the engine whenever the set-up changes, shown before anyone presses Start.
import { describeError } from '../engine/errors'
import type { Engine } from '../client/client'
import type { FitReport, FitRequest } from '../worker/fitCalls'
import type { Problem } from './engineSession.svelte'

/** Where the choice is kept: it belongs to this computer, not to a link. */
const STORED = 'tuneground.memoryBudget'

/** Changes of the set-up that come faster than this are asked about once. */
const PAUSE_MILLISECONDS = 150

export class Fit {
  report = $state.raw<FitReport | undefined>(undefined)
  /** Why there is no report. */
  problem = $state.raw<Problem | undefined>(undefined)
  /** Whether someone looks at the table, for which the device is timed too. */
  isShown = $state(false)
  /** Bytes that a person allows; undefined leaves it to what is known of the device. */
  allowed = $state<number | undefined>(readAllowed())
  readonly #api: Engine
  #asked = 0
  #told: Promise<void> | undefined

  constructor(api: Engine) {
    this.#api = api
  }

  allow(bytes: number | undefined): void {
    this.allowed = bytes
    this.#told = undefined
    try {
      if (bytes === undefined) localStorage.removeItem(STORED)
      else localStorage.setItem(STORED, String(bytes))
    } catch {
      // Without storage the choice lasts as long as the page.
    }
  }

  /** To be called before a model is loaded, so that the choice holds for it. */
  tell(allowed = this.allowed): Promise<void> {
    return (this.#told ??= this.#api.setMemoryBudget(allowed))
  }

  /** Asks, unless another question comes at once; of two answers the later one counts. */
  async ask(request: Omit<FitRequest, 'timed'>): Promise<void> {
    // Read before the first pause, so that an effect that asks runs again when they change.
    const { allowed, isShown: timed } = this
    const asked = ++this.#asked
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MILLISECONDS))
    if (asked !== this.#asked) return
    try {
      await this.tell(allowed)
      const report = await this.#api.fit({ ...request, timed })
      if (asked !== this.#asked) return
      this.report = report
      this.problem = undefined
    } catch (error) {
      if (asked !== this.#asked) return
      this.report = undefined
      this.problem = describeError(error)
    }
  }
}

function readAllowed(): number | undefined {
  try {
    const bytes = Number(localStorage.getItem(STORED))
    return bytes > 0 ? bytes : undefined
  } catch {
    return undefined
  }
}
