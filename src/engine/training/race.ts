// Several runs on one decoder: they advance in turn, on the same batches, under one budget, and can be paused, stepped and stopped.
import type { MemoryMeter } from '../device/memory'
import { describeError } from '../errors'
import { NotFiniteError } from '../evaluation/evaluate'
import { natsPerToken } from '../evaluation/forgetting'
import { evaluateTask, type TaskEvaluation } from '../evaluation/taskEvaluation'
import type { SavedPrompt } from '../methods/method'
import type { Decoder } from '../model/decoder'
import { nextTask } from '../nextTask'
import type { Checkpoint, CheckpointKind } from './checkpoint'
import { askUntouched, closingWork, evaluateRun, generalWork, splitWork, untouchedWork, type Prompted } from './closing'
import type { RaceData } from './data'
import { etaSeconds } from './eta'
import type { RaceCommand, RaceEvent, RacePhase, RunRequest } from './events'
import type { RaceSettings } from './recipe'
import type { StopReason } from './records'
import { RaceRun, type StoredCheckpoints } from './run'

/** Wall time after which a run's `last` checkpoint is due, validations apart. */
const CHECKPOINT_MILLISECONDS = 10_000

/** Wall time between two words on the memory in use. */
const MEMORY_MILLISECONDS = 1000

export interface RaceOptions {
  decoder: Decoder
  data: RaceData
  runs: readonly RunRequest[]
  settings: RaceSettings
  listener: (event: RaceEvent) => void
  /** Stored checkpoints by run id: a run with a `last` one goes on from there. */
  checkpoints?: ReadonlyMap<string, StoredCheckpoints>
  /** Called when a checkpoint is due. `take` makes it, and must be called before the promise settles; the race waits for that. */
  onCheckpoint?: (runId: string, kind: CheckpointKind, take: () => Promise<Checkpoint>) => Promise<void>
  /** Soft prompts to start from, by the id of their run. */
  saved?: ReadonlyMap<string, SavedPrompt>
  memory?: MemoryMeter
  /** Nats per token of the untouched model on the general prose, where it is known already. */
  forgettingBefore?: number
  /** Awaited whenever commands are let in, so that other work on the device (an answer to a typed text) is done between two steps and not charged. */
  between?: () => Promise<void>
  /** Ends the race between two batches; `run` then rejects with its reason. */
  signal?: AbortSignal
}

export class Race {
  readonly #options: RaceOptions
  readonly #runs: readonly RaceRun[]
  readonly #saved = new Map<string, { step: number; at: number }>()
  /** What the untouched model answers to the validation split, from before the first step. */
  #untrained: TaskEvaluation | undefined
  /** By run that asks with a prompt of its own: what the untouched model answers to it. */
  readonly #prompted = new Map<RaceRun, { splits: Prompted; validation: TaskEvaluation }>()
  /** Whether the untouched model has answered the test split too. */
  #untouchedIsAsked = false
  #forgettingBefore: number | undefined
  #phase: { phase: RacePhase; detail: string } | undefined
  #paused = false
  #stopping = false
  #memoryToldAt = -Infinity
  /** Steps that may still be made while paused. */
  #credits = 0
  /** True while such a step is under way, its validation included. */
  #stepping = false
  /** Runs whose result is told. */
  readonly #closed = new Set<RaceRun>()
  #wake: () => void = () => undefined

  private constructor(options: RaceOptions, runs: readonly RaceRun[]) {
    this.#options = options
    this.#runs = runs
    this.#forgettingBefore = options.forgettingBefore
    options.signal?.addEventListener('abort', () => this.#wake())
  }

  /** Makes or restores all runs. Throws a `UserError` where a recipe or a checkpoint does not fit. */
  static async create(options: RaceOptions): Promise<Race> {
    const runs: RaceRun[] = []
    try {
      for (const request of options.runs) runs.push(await RaceRun.create(request, options, options.checkpoints?.get(request.id)))
    } catch (error) {
      runs.forEach((run) => run.dispose())
      throw error
    }
    return new Race(options, runs)
  }

  /** Trained tensors of a run at its best validation so far, in host memory. */
  bestTensors(runId: string): RaceRun['bestTensors'] | undefined {
    return this.#runs.find(({ id }) => id === runId)?.bestTensors
  }

  /** Nats per token of the untouched model on the general prose; undefined until it was measured. */
  get forgettingBefore(): number | undefined {
    return this.#forgettingBefore
  }

  /** Honoured before the next step or evaluation batch. */
  command(command: RaceCommand): void {
    this.#paused = command === 'pause' || command === 'step'
    this.#stopping ||= command === 'stop'
    this.#credits = command === 'step' ? this.#credits + this.#runs.filter(isActive).length : 0
    if (command === 'pause') this.#stepping = false
    this.#wake()
  }

  /** Trains and evaluates all runs; resolves when the last result is told. May be called once. */
  async run(): Promise<void> {
    try {
      this.#options.memory?.begin()
      this.#tellPhase('preparing', 'Asking the untouched model')
      const untrained = await this.#evaluateUntrained()
      await this.#train()
      await this.#close(untrained)
      this.#tellPhase('finished', '')
    } catch (error) {
      if (!this.#options.signal?.aborted) this.#tellPhase('failed', describeError(error).message)
      throw error
    }
  }

  /** Frees the tensors of all runs. */
  dispose(): void {
    this.#runs.forEach((run) => run.dispose())
  }

  /** The start of each curve; what is not drawn waits until the runs are done. */
  async #evaluateUntrained(): Promise<TaskEvaluation> {
    const { decoder, data } = this.#options
    const between = (): Promise<void> => this.#hold('preparing', 'Asking the untouched model')
    const ask = (splits: Prompted): Promise<TaskEvaluation> => evaluateTask(decoder, splits.validation, { writes: false, between })
    const untrained = await ask(data)
    this.#untrained = untrained
    for (const run of this.#runs) {
      const splits = data.ownPrompt?.(run.recipe)
      if (splits) this.#prompted.set(run, { splits, validation: await ask(splits) })
      const own = this.#prompted.get(run)?.validation ?? untrained
      const accuracy = own.kind === 'classification' && { accuracy: own.metrics.accuracy }
      this.#tell({ type: 'untrained', run: run.id, validationLoss: own.loss, ...accuracy })
      this.#tellCost(run)
    }
    return untrained
  }

  async #train(): Promise<void> {
    this.#tellPhase('running', 'Training')
    for (const run of this.#runs) await this.#settle(run)
    this.#tellTimeLeft()
    for (let run = this.#next(); run; run = this.#next()) {
      await this.#hold('running', 'Training')
      if (this.#stopping) {
        for (const active of this.#runs.filter(isActive)) await this.#stopRun(active, 'stopped')
        return
      }
      this.#stepping = this.#paused
      if (this.#paused) this.#credits--
      await this.#advance(run)
      this.#stepping = false
    }
  }

  /** The run whose turn it is: of those that go on, the first with the fewest steps. */
  #next(): RaceRun | undefined {
    const active = this.#runs.filter(isActive)
    const fewest = Math.min(...active.map(({ stepsDone }) => stepsDone))
    return active.find(({ stepsDone }) => stepsDone === fewest)
  }

  async #advance(run: RaceRun): Promise<void> {
    const { peakBytes } = run.cost
    await run.prepare(this.#options.data, () => this.#hold('running', 'Training'))
    const record = await run.step()
    if (record === 'diverged') return this.#diverge(run, run.stepsDone + 1)
    this.#tell({ type: 'step', run: run.id, record })
    if (run.cost.peakBytes > peakBytes) this.#tellCost(run)
    this.#tellMemory()
    await this.#settle(run)
    const saved = this.#saved.get(run.id)
    if (!saved) this.#saved.set(run.id, { step: 0, at: performance.now() })
    else if (performance.now() - saved.at >= CHECKPOINT_MILLISECONDS) await this.#save(run, 'last')
    this.#tellTimeLeft()
  }

  /** What is due at the step where a run stands: its validation, and its end. */
  async #settle(run: RaceRun): Promise<void> {
    const { settings } = this.#options
    if (run.stopReason) {
      this.#tell({ type: 'run-stopped', run: run.id, reason: run.stopReason, bestStep: run.best.step })
      return
    }
    const validates = run.needsValidation(settings.evaluateEvery)
    if (validates && !(await this.#validate(run))) return
    const impatient = settings.patience > 0 && run.best.validationsWithoutGain >= settings.patience
    if (run.budgetIsUsedUp) await this.#stopRun(run, 'budget')
    else if (impatient) await this.#stopRun(run, 'patience')
    else if (validates && run.stepsDone > 0) await this.#save(run, 'last')
  }

  /** False where the run turned out to have diverged. */
  async #validate(run: RaceRun): Promise<boolean> {
    const { decoder, data } = this.#options
    const untrained = this.#prompted.get(run)?.validation ?? this.#untrained
    let evaluation: TaskEvaluation
    try {
      const between = (): Promise<void> => this.#hold('running', 'Training')
      evaluation = run.trains || !untrained ? await run.validate(decoder, data.validation, between) : untrained
    } catch (error) {
      if (!(error instanceof NotFiniteError)) throw error
      await this.#diverge(run, run.stepsDone)
      return false
    }
    if (run.trains) run.trainer.accounts.addEvaluation(evaluation.milliseconds)
    run.millisecondsPerWork = evaluation.millisecondsPerWork
    const gained = await run.addValidation(evaluation)
    this.#tell({ type: 'validation', run: run.id, record: run.curve.validation.at(-1)! })
    if (gained && run.stepsDone > 0) await this.#save(run, 'best')
    return true
  }

  async #diverge(run: RaceRun, step: number): Promise<void> {
    this.#tell({
      type: 'problem',
      run: run.id,
      message: `${run.request.name} diverged at step ${step}: its loss is no longer a finite number.`,
      advice: 'Its best checkpoint is kept. Lower the learning rate, or clip the gradient, and start it anew.'
    })
    await this.#stopRun(run, 'diverged')
  }

  async #stopRun(run: RaceRun, reason: StopReason): Promise<void> {
    run.stopReason = reason
    // The first tensors were not stored when they were validated; they are where nothing later was better.
    if (run.best.step === 0) await this.#save(run, 'best')
    await this.#save(run, 'last')
    this.#tell({ type: 'run-stopped', run: run.id, reason, bestStep: run.best.step })
  }

  async #save(run: RaceRun, kind: CheckpointKind): Promise<void> {
    const { onCheckpoint } = this.#options
    if (!onCheckpoint || !run.trains) return
    if (kind === 'last') this.#saved.set(run.id, { step: run.stepsDone, at: performance.now() })
    let bytes = 0
    try {
      await onCheckpoint(run.id, kind, async () => {
        const checkpoint = await run.checkpoint(kind)
        bytes = Object.values(checkpoint.tensors).reduce((sum, { data }) => sum + data.byteLength, 0)
        return checkpoint
      })
      this.#tell({ type: 'checkpoint', run: run.id, step: run.stepsDone, bytes })
    } catch (error) {
      // A full disk must not end the race: what could not be stored is still in memory.
      this.#tell({ type: 'problem', run: run.id, ...describeError(error) })
    }
  }

  async #close(validation: TaskEvaluation): Promise<void> {
    const { decoder, data } = this.#options
    const between = (detail: string) => () => this.#hold('evaluating', detail)
    const untouched = between('Measuring what the untouched model knows')
    this.#tellPhase('evaluating', 'Measuring what the untouched model knows')
    this.#tellTimeLeft()
    this.#forgettingBefore ??= await natsPerToken(decoder, data.general, {}, untouched)
    const before = { untrained: await askUntouched(decoder, data, validation, untouched), forgettingBefore: this.#forgettingBefore }
    this.#untouchedIsAsked = true
    for (const run of this.#runs) {
      const detail = `Testing ${run.request.name}`
      this.#tellPhase('evaluating', detail)
      this.#tellTimeLeft()
      try {
        const own = this.#prompted.get(run)
        const prompted = own && { splits: own.splits, ...(await askUntouched(decoder, own.splits, own.validation, between(detail))) }
        const measured = { ...before, prompted }
        this.#tell({ type: 'result', run: run.id, result: await evaluateRun(run, decoder, data, measured, between(detail)) })
      } catch (error) {
        if (!(error instanceof NotFiniteError)) throw error
        this.#tell({ type: 'problem', run: run.id, ...describeError(error) })
      }
      this.#closed.add(run)
    }
  }

  /** Lets commands in, and waits while the race is paused. What runs after it may rely on not being paused, or on a single step. */
  async #hold(phase: RacePhase, detail: string): Promise<void> {
    await nextTask()
    await this.#options.between?.()
    this.#options.signal?.throwIfAborted()
    this.#tellMemory()
    while (this.#paused && this.#credits === 0 && !this.#stepping && !this.#stopping) {
      const commanded = new Promise<void>((resolve) => (this.#wake = resolve))
      this.#tellPhase('paused', '')
      for (const run of this.#runs.filter(isActive)) {
        if (run.stepsDone > (this.#saved.get(run.id)?.step ?? 0)) await this.#save(run, 'last')
      }
      await commanded
      this.#options.signal?.throwIfAborted()
    }
    if (!this.#paused) this.#tellPhase(phase, detail)
  }

  #tell(event: RaceEvent): void {
    this.#options.listener(event)
  }

  #tellPhase(phase: RacePhase, detail: string): void {
    if (this.#phase?.phase === phase && this.#phase.detail === detail) return
    this.#phase = { phase, detail }
    this.#tell({ type: 'phase', phase, detail })
  }

  #tellCost(run: RaceRun): void {
    const { trainableParameters, adapterBytes, peakBytes } = run.cost
    this.#tell({ type: 'cost', run: run.id, trainableParameters, adapterBytes, peakBytes })
  }

  #tellMemory(): void {
    const { memory } = this.#options
    const now = performance.now()
    if (!memory || now - this.#memoryToldAt < MEMORY_MILLISECONDS) return
    this.#memoryToldAt = now
    this.#tell({ type: 'memory', bytes: memory.bytes, peakBytes: memory.highest })
  }

  #tellTimeLeft(): void {
    const { decoder, data, settings } = this.#options
    const { config } = decoder
    const untrainedRate = this.#untrained?.millisecondsPerWork ?? 0
    const general = this.#forgettingBefore === undefined ? generalWork(config, data) : 0
    const untouched = untrainedRate * (general + (this.#untouchedIsAsked ? 0 : untouchedWork(config, data)))
    const seconds = etaSeconds(
      this.#runs.map((run, i) => {
        const rate = run.millisecondsPerWork ?? untrainedRate
        const closing = run.trains && !this.#closed.has(run) ? rate * closingWork(config, data) : 0
        return run.outlook(settings, rate * splitWork(config, data.validation), closing + (i === 0 ? untouched : 0))
      })
    )
    if (seconds !== undefined) this.#tell({ type: 'time-left', seconds })
  }
}

const isActive = (run: RaceRun): boolean => run.stopReason === undefined
