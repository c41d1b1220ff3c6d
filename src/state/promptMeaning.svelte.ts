// What the soft prompt of a stored run means, and the prompts of the library beside which it stands.
import { describeError } from '../engine/errors'
import { libraryEntries, type LibraryEntry } from '../storage/library'
import { getRace } from '../storage/races'
import type { PromptMeaning } from '../worker/meaningCalls'
import type { EngineSession, Problem } from './engineSession.svelte'
import { hasVirtualTokens, peersOf } from './promptRuns'

export class PromptMeanings {
  /** Runs with virtual tokens that are stored, the newest first; undefined until the library is read. */
  runs = $state.raw<LibraryEntry[] | undefined>(undefined)
  run = $state.raw<LibraryEntry | undefined>(undefined)
  meaning = $state.raw<PromptMeaning | undefined>(undefined)
  /** Runs of the same model, this one among them, and how alike their prompts are. */
  peers = $state.raw<{ runs: LibraryEntry[]; similarity: number[][] } | undefined>(undefined)
  problem = $state.raw<Problem | undefined>(undefined)
  isWorking = $state(false)
  readonly #engine: EngineSession
  /** Counts openings: what an earlier one asked for is dropped. */
  #opened = 0

  constructor(engine: EngineSession) {
    this.#engine = engine
  }

  /** Shows the run of that id; the newest where there is none or the id is empty. */
  async open(id: string): Promise<void> {
    const opened = ++this.#opened
    const isCurrent = () => opened === this.#opened
    this.meaning = this.peers = this.problem = undefined
    this.isWorking = true
    try {
      const runs = (await libraryEntries()).filter((entry) => hasVirtualTokens(entry.methods) && entry.bytes.best > 0)
      if (!isCurrent()) return
      this.runs = runs
      const run = runs.find((entry) => entry.id === id) ?? runs[0]
      this.run = run
      const race = run && (await getRace(run.raceId))
      if (!run || !race) return
      // Through the session's own calls, so that the playground knows which model and task are loaded when it comes back.
      await this.#engine.loadModel(race.request.model)
      await this.#engine.loadTask(race.request.task)
      const problem = this.#engine.deviceProblem ?? this.#engine.model.problem ?? this.#engine.task.problem
      if (problem && isCurrent()) this.problem = problem
      if (problem) return
      const meaning = await this.#engine.api.promptMeaning(run.id)
      if (!isCurrent()) return
      this.meaning = meaning
      const others = peersOf(runs, run)
      const similarity = await this.#engine.api.promptSimilarities(others.map((entry) => entry.id))
      if (isCurrent()) this.peers = { runs: others, similarity }
    } catch (error) {
      if (isCurrent()) this.problem = describeError(error)
    } finally {
      if (isCurrent()) this.isWorking = false
    }
  }

  close(): void {
    this.#opened++
  }
}
