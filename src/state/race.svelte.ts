// The race on the page: starts and steers it, takes its events as fast as they come, and changes what is shown at most once a frame.
import { describeError } from '../engine/errors'
import type { EngineApi, RaceCommand, RaceEvent, RaceRequest } from '../worker/protocol'
import { foldEvents, initialRace, isOver, type RaceState } from './raceFold'

/** Hidden tabs get no animation frames, but their events must not pile up. */
const HIDDEN_FLUSH_MILLISECONDS = 250

export class Race {
  #state = $state.raw<RaceState | undefined>(undefined)
  /** Counts changes: charts read curves that grow in place, and this tells them to look again. */
  version = $state(0)
  #queue: RaceEvent[] = []
  #flushAsked = false
  readonly #api: Pick<EngineApi, 'race' | 'command'>

  constructor(api: Pick<EngineApi, 'race' | 'command'>) {
    this.#api = api
  }

  /** Undefined before the first race. */
  get state(): RaceState | undefined {
    return this.#state
  }

  /** Whether the worker is at it, so that settings must not change. */
  get isBusy(): boolean {
    return this.#state !== undefined && !isOver(this.#state.phase)
  }

  /** Shows a race that is not being run: one from the library, or one that a reload has cut. */
  show(state: RaceState | undefined): void {
    this.#queue = []
    this.#state = state
    this.version++
  }

  /** Runs a race to its end; with `from`, goes on with what is stored of it. */
  async run(request: RaceRequest, from?: RaceState): Promise<void> {
    this.show(from ? { ...from, phase: 'preparing', detail: 'Reading the last checkpoint', problems: [] } : initialRace(request))
    try {
      await this.#api.race(request, (event) => {
        if (this.#state?.request.id === request.id) this.receive(event)
      })
    } catch (error) {
      this.receive({ type: 'problem', ...describeError(error) })
      this.receive({ type: 'phase', phase: 'failed', detail: 'The race could not go on' })
    }
  }

  command(command: RaceCommand): Promise<void> {
    return this.#api.command(command)
  }

  /** Takes an event; it is seen at the next frame. */
  receive(event: RaceEvent): void {
    this.#queue.push(event)
    if (this.#flushAsked) return
    this.#flushAsked = true
    if (document.hidden) setTimeout(() => this.#flush(), HIDDEN_FLUSH_MILLISECONDS)
    else requestAnimationFrame(() => this.#flush())
  }

  #flush(): void {
    this.#flushAsked = false
    const events = this.#queue
    this.#queue = []
    if (!this.#state || events.length === 0) return
    this.#state = foldEvents(this.#state, events)
    this.version++
  }
}
