// The engine's calls as the worker answers them: one device, one base model, one task and at most one race at a time.
import { MemoryMeter, releaseFreed } from '../engine/device/memory'
import type { DeviceReport } from '../engine/device/report'
import { startDevice } from '../engine/device/start'
import { UserError } from '../engine/errors'
import type { Adaptation } from '../engine/methods/method'
import { trainableParameters } from '../engine/methods/trained'
import { tunedAdaptation } from '../engine/methods/tuned'
import { Race } from '../engine/training/race'
import type { RaceSettings, Recipe } from '../engine/training/recipe'
import { sweepStorage } from '../storage/library'
import { withRaceLock } from '../storage/locks'
import { fewShotTask } from '../tasks/fewShot'
import type { PromptedTask } from '../tasks/handwritten'
import { ownPrompt } from '../tasks/promptedSplit'
import { createRaceData } from '../tasks/raceData'
import { labelCount, type Task } from '../tasks/task'
import plainWasm from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm?url'
import simdWasm from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm?url'
import { answerPrompt, answerText } from './answers'
import { DeviceQueue } from './deviceQueue'
import { PromptLab } from './lab'
import type { PromptPreview, PromptRequest, PromptScore } from './labCalls'
import { PromptMeanings } from './meaning'
import type { PromptMeaning } from './meaningCalls'
import type { EnsembleRequest, EnsembleResult } from './ensembleCalls'
import { askEnsemble, openMembers } from './ensembles'
import { assertFits, estimateOf, FitDesk, type FitSubject } from './fit'
import type { FitReport, FitRequest } from './fitCalls'
import { loadModel, planModel, type LoadedModel } from './models'
import { openRun, trains, type OpenedRun } from './openedRuns'
import { MetaLearning } from './metaLearning'
import type {
  Answer,
  BackendName,
  EngineApi,
  ModelReport,
  ModelSource,
  Progress,
  RaceCommand,
  RaceEvent,
  RaceRequest,
  RunRequest,
  TaskReport,
  TaskSource
} from './protocol'
import { RaceKeeper } from './raceKeeper'
import type { MetaLearnEvent, MetaLearnRequest } from './startCalls'
import { exportRun, importAdapter, tuneFurther } from './transfer'
import type { StreamRequest, StreamedText } from './streamCalls'
import { AnswerStreams, type Writer } from './streams'
import type { AdapterImport, ExportKind } from './transferCalls'
import { lengthProblems, savedPrompts } from './savedPrompts'
import { loadGeneralTexts, loadTask, type LoadedTask } from './tasks'
import { TuningDesk } from './tuning'
import type { Tuning, TuningReport } from './tuningCalls'

const BASE = 'base'

const sameSource = (a: ModelSource | TaskSource, b: ModelSource | TaskSource): boolean => JSON.stringify(a) === JSON.stringify(b)

export class EngineSession implements EngineApi {
  #siteRoot = ''
  #device: DeviceReport | undefined
  #memory: MemoryMeter | undefined
  #model: LoadedModel | undefined
  #loading: Promise<unknown> = Promise.resolve()
  #task: LoadedTask | undefined
  #generalTexts: string[] | undefined
  /** Of the model that is loaded; measured once, by the first race on it. */
  #forgettingBefore: number | undefined
  #race: { race: Race; task: Task; source: TaskSource; recipes: Map<string, Recipe> } | undefined
  #isRacing = false
  #opened = new Map<string, OpenedRun>()
  #queue = new DeviceQueue()
  readonly #metaLearning = new MetaLearning(this.#queue)
  readonly #tuningDesk = new TuningDesk(this.#queue)
  readonly #fitDesk = new FitDesk()
  readonly #loaders = {
    useModel: (source: ModelSource): Promise<LoadedModel> => this.#useModel(source),
    useTask: (source: TaskSource): Promise<LoadedTask> => this.#useTask(source)
  }
  readonly #streams = new AnswerStreams(this.#queue)
  readonly #lab = new PromptLab(this.#loaders, this.#queue)
  readonly #meanings = new PromptMeanings(this.#loaders, this.#queue)

  async start({ prefer, siteRoot }: { prefer?: BackendName; siteRoot: string }): Promise<DeviceReport> {
    this.#siteRoot = siteRoot
    this.#device ??= await startDevice({ prefer, wasm: { plain: plainWasm, simd: simdWasm } })
    this.#memory ??= new MemoryMeter()
    await this.#tuningDesk.start(this.#device)
    // What a killed write left behind is of no use to anyone; where storage is closed to the page, there is nothing to clear.
    void sweepStorage().catch(() => undefined)
    return this.#device
  }

  async loadModel(source: ModelSource, onProgress: (progress: Progress) => void): Promise<ModelReport> {
    return (await this.#useModel(source, onProgress)).report
  }

  async loadTask(source: TaskSource): Promise<TaskReport> {
    this.#requireDevice()
    // Fetched here, so that a race asks nothing of the network.
    this.#generalTexts ??= await loadGeneralTexts(this.#siteRoot)
    return (await this.#useTask(source)).report
  }

  async trainableParameters(source: ModelSource, runs: RunRequest[]): Promise<Record<string, number>> {
    const { decoder } = await this.#useModel(source)
    const { config, layout } = decoder
    const labels = this.#task ? labelCount(this.#task.data.task) : 0
    return Object.fromEntries(runs.map(({ id, recipe }) => [id, trainableParameters(recipe.parts, { config, layout, labels })]))
  }

  async race(request: RaceRequest, onEvent: (event: RaceEvent) => void): Promise<void> {
    await this.#alone(() => withRaceLock(request.id, () => this.#runRace(request, onEvent)))
  }

  command(command: RaceCommand): Promise<void> {
    if (this.#metaLearning.isRunning) this.#metaLearning.command(command)
    else this.#race?.race.command(command)
    return Promise.resolve()
  }

  async answer(fields: Record<string, string>, runs: string[]): Promise<Answer[]> {
    const task = await this.#taskOf(runs)
    const model = this.#requireModel()
    const answers: Answer[] = []
    for (const run of runs) {
      const prompted = run === BASE ? undefined : await this.#promptOf(run)
      const answer = (): Promise<Answer> =>
        prompted
          ? answerPrompt(model, prompted, run, fields)
          : this.#withAdaptation(run, (adaptation) => answerText(model, task, run, fields, adaptation))
      answers.push(await this.#queue.run(answer))
    }
    return answers
  }

  async fit(request: FitRequest): Promise<FitReport> {
    const device = this.#requireDevice()
    const subject = await this.#fitSubject(request)
    const rows = request.runs[0]?.recipe.batchSize ?? 1
    const rate =
      this.#isRacing || !request.timed ? undefined : await this.#fitDesk.measureRate(subject, rows, (probe) => this.#queue.run(probe))
    return this.#fitDesk.report(request, subject, device, rate)
  }

  setMemoryBudget(bytes: number | undefined): Promise<void> {
    this.#fitDesk.setMemoryBudget(bytes)
    return Promise.resolve()
  }

  tuningReport(): Promise<TuningReport> {
    return Promise.resolve(this.#tuningDesk.report())
  }

  setTuning(tuning: Tuning, float16: boolean): Promise<TuningReport> {
    return Promise.resolve(this.#tuningDesk.set(tuning, float16))
  }

  resetTuning(): Promise<TuningReport> {
    return this.#tuningDesk.reset()
  }

  async stream(request: StreamRequest, onTexts: (texts: StreamedText[]) => void): Promise<void> {
    const task = await this.#taskOf(request.runs)
    const writers: Writer[] = []
    for (const run of request.runs)
      writers.push(run === BASE ? { run } : { run, ...(await this.#bestOf(run)), prompted: await this.#promptOf(run) })
    await this.#streams.write(this.#requireModel(), task, writers, request, onTexts)
  }

  stopStream(): Promise<void> {
    return this.#streams.stop()
  }

  previewPrompt(request: PromptRequest): Promise<PromptPreview> {
    return this.#lab.previewPrompt(request)
  }

  tryPrompt(request: PromptRequest, onProgress: (progress: Progress) => void): Promise<PromptScore | undefined> {
    return this.#lab.tryPrompt(request, onProgress)
  }

  cancelTry(): Promise<void> {
    return this.#lab.cancelTry()
  }

  promptMeaning(run: string): Promise<PromptMeaning> {
    return this.#meanings.promptMeaning(run)
  }

  promptSimilarities(runs: string[]): Promise<number[][]> {
    return this.#meanings.promptSimilarities(runs)
  }

  exportRun(runId: string, kind: ExportKind): Promise<Blob> {
    return exportRun(runId, kind, this.#siteRoot)
  }

  importAdapter(adapter: AdapterImport): Promise<RaceRequest> {
    return importAdapter(adapter, this.#requireDevice(), this.#loaders)
  }

  tuneFurther(runId: string, settings: RaceSettings): Promise<RaceRequest> {
    return tuneFurther(runId, settings, this.#requireDevice())
  }

  async metaLearn(request: MetaLearnRequest, onEvent: (event: MetaLearnEvent) => void): Promise<void> {
    const { useModel } = this.#loaders
    await this.#alone(() =>
      this.#metaLearning.run(request, { siteRoot: this.#siteRoot, device: this.#requireDevice(), memory: this.#memory, useModel }, onEvent)
    )
  }

  async ensemble(request: EnsembleRequest, onProgress: (progress: Progress) => void): Promise<EnsembleResult> {
    const members = await openMembers(request.runs, async (run) => ({
      member: await this.#bestOf(run),
      model: this.#requireModel().report.source
    }))
    const task = await this.#useTask(members[0].source)
    return this.#queue.run(() => askEnsemble(request, members, this.#requireModel(), task, onProgress))
  }

  async #runRace(request: RaceRequest, onEvent: (event: RaceEvent) => void): Promise<void> {
    onEvent({ type: 'phase', phase: 'preparing', detail: 'Loading the model and the task' })
    const { keeper, checkpoints } = await RaceKeeper.open(request, this.#requireDevice(), onEvent)
    const listener = (event: RaceEvent): void => {
      keeper.note(event)
      onEvent(event)
      if (event.type === 'phase' && event.phase === 'paused') this.#queue.release()
      else if (event.type === 'phase') this.#queue.hold()
    }
    try {
      const model = await this.#useModel(request.model)
      const { data: task } = await this.#useTask(request.task)
      this.#generalTexts ??= await loadGeneralTexts(this.#siteRoot)
      const recipes = request.runs.map(({ recipe }) => recipe)
      const data = createRaceData(
        fewShotTask(task, request.settings.trainingExamples, recipes[0]?.seed ?? 1),
        model.tokenizer,
        model.decoder.config,
        recipes,
        this.#generalTexts
      )
      const labels = labelCount(task.task)
      const { config, layout } = model.decoder
      const subject = { on: { config, layout, labels }, base: model.base, data }
      const fit = this.#fitDesk.report({ runs: request.runs, race: request.runs.map(({ id }) => id) }, subject, this.#requireDevice())
      assertFits(fit)
      onEvent(estimateOf(fit))
      const saved = await savedPrompts(request.runs, checkpoints)
      lengthProblems(request.runs, saved).forEach(onEvent)
      this.#race?.race.dispose()
      this.#race = undefined
      const race = await Race.create({
        decoder: model.decoder,
        data,
        runs: request.runs,
        settings: request.settings,
        listener,
        checkpoints,
        saved,
        onCheckpoint: (run, _kind, take) => keeper.save(run, take),
        between: () => {
          this.#tuningDesk.measure()
          return this.#queue.drain()
        },
        memory: this.#memory,
        forgettingBefore: this.#forgettingBefore
      })
      this.#race = { race, task: task.task, source: request.task, recipes: new Map(request.runs.map(({ id, recipe }) => [id, recipe])) }
      await race.run()
      this.#forgettingBefore = race.forgettingBefore
    } catch (error) {
      keeper.note({ type: 'phase', phase: 'failed', detail: '' })
      throw error
    } finally {
      await keeper.settled()
    }
  }

  /** Calls `use` with a run's best tensors on the device, for as long as it takes. */
  async #withAdaptation<T>(run: string, use: (adaptation: Adaptation) => Promise<T>): Promise<T> {
    if (run === BASE) return use({})
    const { recipe, tensors } = await this.#bestOf(run)
    const tuned = tunedAdaptation(recipe.parts, tensors, this.#requireModel().decoder.config)
    try {
      return await use(tuned.adaptation)
    } finally {
      tuned.dispose()
    }
  }

  /** The hand-written prompt of a run's own; undefined where it is the task's, or the run is tuned. */
  async #promptOf(run: string): Promise<PromptedTask | undefined> {
    const { recipe, source } = await this.#bestOf(run)
    return trains(recipe) ? undefined : ownPrompt((await this.#useTask(source)).data, recipe)
  }

  /** The task that the runs learnt; without a tuned one, that which is loaded. */
  async #taskOf(runs: readonly string[]): Promise<Task> {
    const tuned = runs.find((run) => run !== BASE)
    return tuned ? (await this.#bestOf(tuned)).task : this.#requireTask()
  }

  /** The best tensors so far of a run of the race, or those of a run of the library. */
  async #bestOf(run: string): Promise<OpenedRun> {
    const recipe = this.#race?.recipes.get(run)
    if (this.#race && recipe) {
      const tensors = this.#race.race.bestTensors(run) ?? {}
      if (trains(recipe) && Object.keys(tensors).length === 0)
        throw new UserError('This run has not begun to learn.', 'Ask again in a moment.')
      return { task: this.#race.task, source: this.#race.source, recipe, tensors }
    }
    const opened = this.#opened.get(run) ?? (await openRun(run, this.#loaders))
    this.#opened.set(run, opened)
    return opened
  }

  /** One model after the other, so that the last one asked for is the one that stays. */
  #useModel(source: ModelSource, onProgress: (progress: Progress) => void = () => undefined): Promise<LoadedModel> {
    const model = this.#loading.then(() => this.#loadUnlessHeld(source, onProgress))
    this.#loading = model.catch(() => undefined)
    return model
  }

  async #loadUnlessHeld(source: ModelSource, onProgress: (progress: Progress) => void): Promise<LoadedModel> {
    const device = this.#requireDevice()
    if (this.#model && sameSource(this.#model.report.source, source)) return this.#model
    if ((this.#race && this.#isRacing) || this.#metaLearning.isRunning)
      throw new UserError('A race is using the loaded model.', 'Stop the race before choosing another model.')
    const onReady = (): void => {
      this.#race?.race.dispose()
      this.#race = undefined
      this.#opened.clear()
      this.#forgettingBefore = undefined
      this.#model?.decoder.dispose()
      this.#model = undefined
      releaseFreed()
    }
    await this.#streams.stop()
    this.#model = await loadModel(source, this.#siteRoot, { device, limits: this.#fitDesk.limits(device), onReady }, onProgress)
    return this.#model
  }

  /** Model, task and their batches as far as estimates need them; a model that is not loaded is not loaded for that. */
  async #fitSubject({ model: source, task: taskSource, runs }: FitRequest): Promise<FitSubject> {
    await this.#loading
    const held = this.#model && sameSource(this.#model.report.source, source) ? this.#model : undefined
    const planned = held
      ? { ...held.decoder, tokenizer: held.tokenizer, base: held.base }
      : await planModel(source, this.#siteRoot, () => undefined)
    const { data: task } = await this.#useTask(taskSource)
    const recipes = runs.map(({ recipe }) => recipe)
    const data = createRaceData(task, planned.tokenizer, planned.config, recipes, this.#generalTexts ?? [])
    return { on: { config: planned.config, layout: planned.layout, labels: labelCount(task.task) }, base: planned.base, data }
  }

  async #useTask(source: TaskSource): Promise<LoadedTask> {
    if (this.#task && sameSource(this.#task.report.source, source)) return this.#task
    this.#task = await loadTask(source, this.#siteRoot)
    return this.#task
  }

  /** Races and meta-learning hold the device as long as they last, one at a time. */
  async #alone(work: () => Promise<void>): Promise<void> {
    if (this.#isRacing) throw new UserError('A race is going on already.', 'Stop it first, or wait until it is done.')
    this.#isRacing = true
    try {
      await work()
    } finally {
      this.#isRacing = false
      this.#queue.release()
    }
  }

  #requireDevice(): DeviceReport {
    if (!this.#device) throw new UserError('The engine was not started.', 'Reload the page.')
    return this.#device
  }

  #requireModel(): LoadedModel {
    if (!this.#model) throw new UserError('No model is loaded yet.', 'Wait until it is, or choose one.')
    return this.#model
  }

  #requireTask(): Task {
    if (!this.#task) throw new UserError('No task is loaded yet.', 'Wait until it is, or choose one.')
    return this.#task.data.task
  }
}
