// The prompt lab: one prompt in the editor, what the model reads of it, its score, and every try so far.
import { describeError } from '../engine/errors'
import { deleteTry, loadDraft, loadTries, saveDraft, saveTry, type PromptTry } from '../storage/promptTries'
import type { HandwrittenPrompt } from '../tasks/handwritten'
import type { ClassificationTask } from '../tasks/task'
import type { PromptPreview, PromptRequest, PromptScore } from '../worker/labCalls'
import type { EngineApi, ModelSource, Progress, TaskSource } from '../worker/protocol'
import type { Problem } from './engineSession.svelte'
import { promptId, ranked, taskKey, writtenOut } from './promptTry'

/** Where a prompt is tried, and how it begins. */
export interface LabPlace {
  model: ModelSource
  task: TaskSource
  asked: ClassificationTask
}

type LabEngine = Pick<EngineApi, 'previewPrompt' | 'tryPrompt' | 'cancelTry'>

/** Pauses in typing: after the first the prompt is rendered, after the second it is tried. */
const PREVIEW_MILLISECONDS = 150
const TRY_MILLISECONDS = 1000

export class PromptLab {
  /** What is in the editor; undefined until the draft is read. */
  draft = $state<HandwrittenPrompt | undefined>(undefined)
  preview = $state.raw<PromptPreview | undefined>(undefined)
  /** Of the prompt in the editor; undefined until it was tried. */
  score = $state.raw<PromptScore | undefined>(undefined)
  /** While a try is under way. */
  progress = $state.raw<Progress | undefined>(undefined)
  problem = $state.raw<Problem | undefined>(undefined)
  tries = $state.raw<PromptTry[]>([])
  deleted = $state.raw<PromptTry | undefined>(undefined)
  readonly #engine: LabEngine
  #place: LabPlace | undefined
  #key = ''
  #timers: ReturnType<typeof setTimeout>[] = []
  /** Counts edits: what an earlier one asked for is dropped. */
  #edits = 0

  constructor(engine: LabEngine) {
    this.#engine = engine
  }

  get ranking(): PromptTry[] {
    return ranked(this.tries)
  }

  /** The id of the prompt in the editor. */
  get current(): string | undefined {
    return this.draft && promptId(this.draft)
  }

  /** Goes to a model and task, with the draft and the tries that are kept for them. */
  async open(place: LabPlace): Promise<void> {
    const key = JSON.stringify([place.model, taskKey(place.task)])
    if (key === this.#key) return
    this.close()
    this.#key = key
    this.#place = place
    this.draft = this.preview = this.score = undefined
    this.tries = []
    await this.#attempt(async () => {
      const [tries, draft] = await Promise.all([loadTries(key), loadDraft(key)])
      if (key !== this.#key) return
      this.tries = tries
      const fits = draft?.words.length === place.asked.labels.length
      this.draft = draft && fits ? draft : writtenOut(place.asked)
      this.edited()
    })
  }

  /** Takes up what was changed in the editor: rendered at once, tried after a pause. Ends the try that was under way. */
  edited(pause = TRY_MILLISECONDS): void {
    const { draft } = this
    if (!draft) return
    const prompt = $state.snapshot(draft)
    const edit = ++this.#edits
    this.#stop()
    this.problem = undefined
    const known = this.tries.find(({ id }) => id === promptId(prompt))
    this.score = known?.score
    this.#timers = [setTimeout(() => void this.#render(prompt, edit), Math.min(pause, PREVIEW_MILLISECONDS))]
    if (!known) this.#timers.push(setTimeout(() => void this.#try(prompt, edit), pause))
  }

  /** Leaves the page: nothing goes on behind it. */
  close(): void {
    this.#edits++
    this.#stop()
    this.#key = ''
  }

  /** Ends the try under way; the prompt stays as it is. */
  cancel(): void {
    this.#edits++
    this.#stop()
  }

  load(entry: PromptTry): void {
    this.draft = structuredClone(entry.prompt)
    this.edited()
  }

  mark(entry: PromptTry): Promise<void> {
    return this.#keep({ ...entry, marked: !entry.marked })
  }

  async delete(entry: PromptTry): Promise<void> {
    await this.#attempt(async () => {
      await deleteTry(this.#key, entry.id)
      this.tries = this.tries.filter(({ id }) => id !== entry.id)
      this.deleted = entry
    })
  }

  async undoDelete(): Promise<void> {
    const { deleted } = this
    this.deleted = undefined
    if (deleted) await this.#keep(deleted)
  }

  #request(prompt: HandwrittenPrompt): PromptRequest | undefined {
    const place = this.#place
    return place && { model: place.model, task: place.task, prompt }
  }

  async #render(prompt: HandwrittenPrompt, edit: number): Promise<void> {
    const request = this.#request(prompt)
    if (!request) return
    await this.#attempt(async () => {
      await saveDraft(this.#key, prompt)
      const preview = await this.#engine.previewPrompt(request)
      if (edit === this.#edits) this.preview = preview
    }, edit)
  }

  async #try(prompt: HandwrittenPrompt, edit: number): Promise<void> {
    const request = this.#request(prompt)
    if (!request) return
    const isCurrent = () => edit === this.#edits
    this.progress = { stage: 'Waiting for the device', loaded: 0, total: 1, unit: 'examples' }
    await this.#attempt(async () => {
      const score = await this.#engine.tryPrompt(request, (progress) => {
        if (isCurrent()) this.progress = progress
      })
      if (!score || !isCurrent()) return
      this.score = score
      await this.#keep({ id: promptId(prompt), prompt, score, triedAt: Date.now(), marked: false })
    }, edit)
    if (isCurrent()) this.progress = undefined
  }

  async #keep(entry: PromptTry): Promise<void> {
    this.tries = [...this.tries.filter(({ id }) => id !== entry.id), entry]
    await this.#attempt(() => saveTry(this.#key, entry))
  }

  #stop(): void {
    this.#timers.forEach(clearTimeout)
    this.#timers = []
    if (this.progress) void this.#engine.cancelTry().catch(() => undefined)
    this.progress = undefined
  }

  async #attempt(work: () => Promise<void>, edit = this.#edits): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (edit === this.#edits) this.problem = describeError(error)
    }
  }
}
