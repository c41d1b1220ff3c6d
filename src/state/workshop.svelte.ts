// Everything the pages share: one engine, the set-up, the race; and the wires between them.
import { describeError } from '../engine/errors'
import { deleteRace, getRace, unfinishedRace, updateRace } from '../storage/races'
import { runsOfRace } from '../storage/runs'
import type { StoredRace } from '../storage/records'
import { EngineSession, type Problem } from './engineSession.svelte'
import { Fit } from './fit.svelte'
import { location } from './location.svelte'
import { methodTable } from './methodTable'
import { modelKey } from './modelKeys'
import { ModelShelf } from './modelShelf.svelte'
import { Race } from './race.svelte'
import { initialRace, type RaceState } from './raceFold'
import { Setup } from './setup.svelte'
import { TuningState } from './tuning.svelte'

class Workshop {
  readonly engine = new EngineSession()
  readonly setup = new Setup(methodTable, ['', 'playground'].includes(location.path) ? location.query : '')
  readonly models = new ModelShelf()
  readonly race = new Race(this.engine.api)
  readonly tuning = new TuningState(this.engine.api)
  readonly fit = new Fit(this.engine.api)
  /** What kept the page from starting as it should. */
  problem = $state.raw<Problem | undefined>(undefined)
  /** A race that a reload has cut, shown until someone goes on with it or discards it. */
  unfinished = $state.raw<RaceState | undefined>(undefined)
  /** True once it is known whether a race was cut: only then is anything loaded for the set-up. */
  isBegun = $state(false)

  /** Starts the engine and looks for a race that was cut; to be called once. */
  async begin(): Promise<void> {
    void this.models.refresh()
    void this.tuning.set(this.setup.values)
    // Before any model is loaded, so that it holds for that too.
    void this.fit.tell()
    try {
      const stored = await unfinishedRace()
      void this.engine.start(stored?.device?.backend)
      if (stored) {
        this.unfinished = await restored(stored)
        this.setup.adopt(stored.request)
        this.race.show(this.unfinished)
      }
    } catch (error) {
      this.problem = describeError(error)
      void this.engine.start()
    }
    this.isBegun = true
  }

  /** Whether Start can be pressed. */
  get isReady(): boolean {
    const { engine, setup } = this
    const isSetUp = this.isModelLoaded && engine.task.report !== undefined && setup.problems.length === 0
    return isSetUp && !this.fit.report?.race.problem && !this.isBusy
  }

  /** Whether the model that is chosen is the one that is loaded. */
  get isModelLoaded(): boolean {
    const { report } = this.engine.model
    return report !== undefined && modelKey(report.source) === modelKey(this.setup.model)
  }

  /** Whether a race is going on. One that was cut is only shown. */
  get isBusy(): boolean {
    return this.race.isBusy && this.unfinished === undefined
  }

  get canContinue(): boolean {
    return this.engine.device !== undefined && this.isModelLoaded
  }

  startRace(): void {
    if (!this.isReady) return
    void this.#giveUpUnfinished()
    void this.race.run(this.setup.request())
  }

  /** A race that another one has taken over from is asked about no more; the library still has it. */
  async #giveUpUnfinished(): Promise<void> {
    const { unfinished } = this
    this.unfinished = undefined
    if (!unfinished) return
    try {
      await updateRace(unfinished.request.id, { phase: 'failed' })
    } catch (error) {
      this.problem = describeError(error)
    }
  }

  continueRace(): void {
    const { unfinished } = this
    if (!unfinished) return
    this.unfinished = undefined
    void this.race.run(unfinished.request, unfinished)
  }

  /** Once more after a problem, from the last checkpoint. */
  retryRace(): void {
    const { state } = this.race
    if (state && !this.isBusy) void this.race.run(state.request, state)
  }

  async discardRace(): Promise<void> {
    const { unfinished } = this
    if (!unfinished) return
    try {
      await deleteRace(unfinished.request.id)
      this.unfinished = undefined
      this.race.show(undefined)
    } catch (error) {
      this.problem = describeError(error)
    }
  }

  /** Shows a race of the library with its curves, table and answers. */
  async openRace(id: string): Promise<void> {
    const stored = await getRace(id)
    if (!stored || this.isBusy) return
    const state = await restored(stored)
    this.unfinished = stored.phase === 'finished' ? undefined : state
    this.setup.adopt(stored.request)
    this.race.show(state)
  }
}

async function restored(stored: StoredRace): Promise<RaceState> {
  const runs = await runsOfRace(stored.id)
  const state = initialRace(stored.request, new Map(runs.map((run) => [run.id, run])))
  return { ...state, phase: stored.phase }
}

export const workshop = new Workshop()
