// The engine as the page sees it: what runs it, which model and task are loaded, and what went wrong.
import { connectEngine, type Engine } from '../client/client'
import { describeError } from '../engine/errors'
import type { BackendName, DeviceReport, ModelReport, ModelSource, Progress, RunRequest, TaskReport, TaskSource } from '../worker/protocol'

/** Where the page's own files are, in full: the worker's address is another one. */
const siteRoot = new URL(import.meta.env.BASE_URL, globalThis.location.href).href

export interface Problem {
  message: string
  advice: string
}

/** Something that is fetched from the engine: what came last, how far it is, or what is wrong. */
class Loaded<Source, Report> {
  report = $state.raw<Report | undefined>(undefined)
  progress = $state.raw<Progress | undefined>(undefined)
  problem = $state.raw<Problem | undefined>(undefined)
  /** What was asked for last. Plain fields: effects that load must not run again on them. */
  #wanted = ''
  #asked = 0

  /** Shows what keeps it from being fetched at all. */
  fail(error: unknown): void {
    this.problem = describeError(error)
  }

  /** Fetches it, unless it is there or on its way; where another is asked for meanwhile, the late answer is dropped. */
  async load(source: Source, fetch: (onProgress: (progress: Progress) => void) => Promise<Report>): Promise<void> {
    const wanted = JSON.stringify(source)
    if (wanted === this.#wanted) return
    this.#wanted = wanted
    const asked = ++this.#asked
    this.report = undefined
    this.progress = undefined
    this.problem = undefined
    try {
      const report = await fetch((progress) => {
        if (asked === this.#asked) this.progress = progress
      })
      if (asked === this.#asked) this.report = report
    } catch (error) {
      if (asked !== this.#asked) return
      this.#wanted = ''
      this.problem = describeError(error)
    }
  }
}

export class EngineSession {
  readonly api: Engine
  device = $state.raw<DeviceReport | undefined>(undefined)
  deviceProblem = $state.raw<Problem | undefined>(undefined)
  readonly model = new Loaded<ModelSource, ModelReport>()
  readonly task = new Loaded<TaskSource, TaskReport>()
  /** Numbers trained, by method or hybrid; empty until the model is known. */
  trainableParameters = $state.raw<Readonly<Record<string, number>>>({})
  #started: Promise<void> | undefined
  #counted = 0

  constructor(connect: () => Engine = connectEngine) {
    this.api = connect()
  }

  /** Starts the backend, once: `prefer` where it still works, else the fastest. */
  start(prefer?: BackendName): Promise<void> {
    return (this.#started ??= (
      prefer ? this.api.start({ siteRoot, prefer }).catch(() => this.api.start({ siteRoot })) : this.api.start({ siteRoot })
    )
      .then((report) => void (this.device = report))
      .catch((error: unknown) => void (this.deviceProblem = describeError(error))))
  }

  async loadModel(source: ModelSource): Promise<void> {
    await this.model.load(source, async (onProgress) => {
      await this.start()
      return this.api.loadModel(source, onProgress)
    })
  }

  async loadTask(source: TaskSource): Promise<void> {
    await this.task.load(source, async () => {
      await this.start()
      return this.api.loadTask(source)
    })
  }

  /** Asks how many numbers each run would train; the id of a run is the key of its method or hybrid. */
  async countParameters(model: ModelSource, runs: RunRequest[]): Promise<void> {
    const asked = ++this.#counted
    try {
      const counts = await this.api.trainableParameters(model, runs)
      if (asked !== this.#counted) return
      this.trainableParameters = counts
    } catch {
      // Shown beside the option that cannot be met when the race is started; a count is only a help.
    }
  }
}
