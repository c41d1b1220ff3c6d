// One run of a race: its trainer, its place in the data, its curve, and the best tensors so far.
import type { MemoryMeter } from '../device/memory'
import { evaluateTask, type TaskEvaluation, type TaskSplit } from '../evaluation/taskEvaluation'
import { safetensorsLength } from '../formats/safetensors'
import { getMethod, optionsOf } from '../methods/registry'
import type { Adaptation, SavedPrompt } from '../methods/method'
import { snapshotsOf, snapshotTensors, withSnapshot, type Snapshot } from '../meaning/trajectory'
import { readVirtualTokens } from '../meaning/virtualTokens'
import type { Decoder } from '../model/decoder'
import type { Checkpoint, CheckpointKind, CheckpointState, StoredTensors } from './checkpoint'
import type { BatchSequence, RaceData } from './data'
import type { RunOutlook } from './eta'
import type { RunRequest } from './events'
import { FeatureCache } from './featureCache'
import { judgeLabels, judgeLoss, NOTHING_YET } from './judgement'
import type { RaceSettings, Recipe } from './recipe'
import type { Cost, Curve, StepRecord, StopReason } from './records'
import { Trainer } from './trainer'

export interface StoredCheckpoints {
  best?: Checkpoint
  last?: Checkpoint
}

export interface RunOptions {
  decoder: Decoder
  data: RaceData
  settings: RaceSettings
  /** Soft prompts to start from, by the id of their run. */
  saved?: ReadonlyMap<string, SavedPrompt>
  memory?: MemoryMeter
}

export class RaceRun {
  /** Set where the run takes no more steps. */
  stopReason: StopReason | undefined
  /** Of its evaluations; undefined before the first. */
  millisecondsPerWork: number | undefined
  #best: CheckpointState['best'] = { ...NOTHING_YET }
  #bestTensors: StoredTensors = {}
  #batches: BatchSequence
  #curve: Curve = { steps: [], validation: [] }
  /** The virtual tokens at validations; empty where none are trained. */
  #trajectory: Snapshot[] = []
  readonly #features = new FeatureCache()

  private constructor(
    readonly request: RunRequest,
    readonly trainer: Trainer,
    batches: BatchSequence
  ) {
    this.#batches = batches
  }

  /** A new run, or the stored one where its `last` checkpoint is given. Throws a `UserError` where options or checkpoint do not fit. */
  static async create(
    request: RunRequest,
    { decoder, data, settings, saved, memory }: RunOptions,
    stored: StoredCheckpoints = {}
  ): Promise<RaceRun> {
    const { recipe } = request
    const { encode, labelWords } = data
    const trainer = await Trainer.create({
      decoder,
      recipe,
      budget: settings.budget,
      encode,
      labelWords,
      saved,
      memory,
      maximumSteps: stepLimit(recipe, data)
    })
    try {
      const run = new RaceRun(request, trainer, data.trainingBatches(recipe.batchSize, recipe.seed))
      if (stored.last) await run.#restore(stored.last, stored.best, data)
      return run
    } catch (error) {
      trainer.dispose()
      throw error
    }
  }

  get id(): string {
    return this.request.id
  }

  get recipe(): Recipe {
    return this.request.recipe
  }

  /** False for the hand-written prompt, which is evaluated as it is. */
  get trains(): boolean {
    return this.recipe.parts.some(({ method }) => getMethod(method).trains)
  }

  get stepsDone(): number {
    return this.trainer.stepsDone
  }

  get curve(): Curve {
    return this.#curve
  }

  get best(): Readonly<CheckpointState['best']> {
    return this.#best
  }

  /** Trained tensors at the best validation, in host memory. */
  get bestTensors(): StoredTensors {
    return this.#bestTensors
  }

  get budgetIsUsedUp(): boolean {
    return !this.trains || this.trainer.progress >= 1
  }

  get #isInLastStage(): boolean {
    return this.recipe.parts.every(({ window }) => (window?.from ?? 0) <= this.trainer.progress)
  }

  adaptation(): Adaptation {
    return this.trainer.adaptation()
  }

  /** What has to be read before the next step and is not a step: the features, where nothing but a label head is trained now. */
  prepare(data: RaceData, between: () => Promise<void>): Promise<void> {
    return this.#features.prepare(this.trainer, data, between)
  }

  /** One update on the next batch, after `prepare`. A run that diverges keeps the tensors from before. */
  async step(): Promise<StepRecord | 'diverged'> {
    const record = await this.trainer.step(this.#batches.next(), this.#features.training)
    if (record !== 'diverged') this.#curve.steps.push(record)
    return record
  }

  /** Whether a validation is due at this step and was not made yet: before the first step, every so many, and when the budget is used up. */
  needsValidation(every: number): boolean {
    const due = this.stepsDone % every === 0 || this.budgetIsUsedUp
    return due && this.#curve.validation.at(-1)?.step !== this.stepsDone
  }

  /** How the tensors as they are now answer the validation split. Throws a `NotFiniteError` where they give no finite answers. */
  validate(decoder: Decoder, split: TaskSplit, between: () => Promise<void>): Promise<TaskEvaluation> {
    const { trainer } = this
    return split.kind !== 'generation' && trainer.readsFeatures
      ? this.#features.validate(decoder, trainer, split, between)
      : evaluateTask(decoder, split, { adaptation: this.adaptation(), writes: false, between })
  }

  /** Notes a validation of the tensors as they are; returns whether they are the best so far, which are then kept. */
  async addValidation(evaluation: TaskEvaluation): Promise<boolean> {
    const step = this.stepsDone
    const best = this.#best
    const { loss } = evaluation
    const isLabels = evaluation.kind === 'classification'
    const scores = isLabels && { accuracy: evaluation.metrics.accuracy, f1Macro: evaluation.metrics.macro.f1 }
    this.#curve.validation.push({ step, seconds: this.trainer.accounts.seconds, loss, ...scores })
    const { gained, isGood, f1Macro } = isLabels ? judgeLabels(evaluation, best) : judgeLoss(loss, best.loss)
    // After a reload the best may lie ahead of where the run goes on; when it is reached again it is kept again.
    const isBest = isGood || step === best.step
    if (isBest) this.#bestTensors = await this.trainer.tensors('best')
    const tokens = this.trains ? await readVirtualTokens(() => this.adaptation()) : undefined
    if (tokens) this.#trajectory = withSnapshot(this.#trajectory, { step, ...tokens })
    this.#best = {
      step: isBest ? step : best.step,
      ...(f1Macro !== undefined && { f1Macro }),
      loss: gained ? loss : best.loss,
      // Patience is for the last stage: a stage that is not yet reached may gain what this one does not.
      validationsWithoutGain: gained || !this.#isInLastStage ? 0 : best.validationsWithoutGain + 1
    }
    return isBest
  }

  /** What is stored: `last` to go on from, `best` to answer with. Await it before the next step. */
  async checkpoint(kind: CheckpointKind): Promise<Checkpoint> {
    const state: CheckpointState = {
      ...this.trainer.state,
      ...this.#batches.state,
      best: { ...this.#best },
      curve: { steps: [...this.#curve.steps], validation: [...this.#curve.validation] },
      stopReason: this.stopReason
    }
    if (kind === 'best') return { runId: this.id, kind, state, tensors: this.#bestTensors }
    return { runId: this.id, kind, state, tensors: { ...(await this.trainer.tensors('last')), ...snapshotTensors(this.#trajectory) } }
  }

  get cost(): Cost {
    const { trainer } = this
    const { trainMilliseconds, compileMilliseconds, evaluationMilliseconds, tokens, peakBytes } = trainer.accounts.state
    return {
      seconds: trainMilliseconds / 1000,
      compileSeconds: compileMilliseconds / 1000,
      evaluationSeconds: evaluationMilliseconds / 1000,
      steps: this.stepsDone,
      tokens,
      trainableParameters: trainer.trainableParameters,
      adapterBytes: this.trains ? safetensorsLength(trainer.shapes) : 0,
      peakBytes
    }
  }

  /** What this run still has to do, given the milliseconds of one validation and of all that follows the last step. */
  outlook({ budget, evaluateEvery }: RaceSettings, validationMilliseconds: number, closingMilliseconds: number): RunOutlook {
    const { accounts } = this.trainer
    const average = this.stepsDone > 0 ? (1000 * accounts.seconds) / this.stepsDone : undefined
    const { maximumSteps = Infinity } = this.trainer
    const left: RunOutlook['left'] =
      this.stopReason !== undefined
        ? { kind: 'steps', steps: 0 }
        : budget.kind === 'steps' || maximumSteps < Infinity
          ? { kind: 'steps', steps: (budget.kind === 'steps' ? budget.steps : maximumSteps) - this.stepsDone }
          : { kind: 'seconds', seconds: budget.seconds - accounts.seconds }
    return {
      stepMilliseconds: accounts.typicalMilliseconds ?? average,
      stepsDone: this.stepsDone,
      left,
      evaluateEvery,
      validationMilliseconds,
      closingMilliseconds
    }
  }

  dispose(): void {
    this.trainer.dispose()
  }

  async #restore(last: Checkpoint, best: Checkpoint | undefined, data: RaceData): Promise<void> {
    const { state } = last
    const initial = state.best.step === 0 ? await this.trainer.tensors('best') : undefined
    this.trainer.restore({ state, tensors: last.tensors })
    this.#batches = data.trainingBatches(this.recipe.batchSize, state)
    this.#curve = { steps: [...state.curve.steps], validation: [...state.curve.validation] }
    this.stopReason = state.stopReason
    this.#trajectory = snapshotsOf(last.tensors)
    if (best && best.state.best.step >= state.best.step) {
      // Its step may lie ahead of where the run goes on; what is compared with is as it was there, so that validations count as in an unbroken run.
      this.#best = { ...state.best, step: best.state.best.step }
      this.#bestTensors = best.tensors
    } else if (initial) {
      this.#best = { ...state.best }
      this.#bestTensors = initial
    } else {
      // The best tensors are lost: the best of what is left are those to go on from.
      this.#best = { ...NOTHING_YET, step: this.stepsDone }
      this.#bestTensors = await this.trainer.tensors('best')
    }
  }
}

/** Steps after which a budget of seconds ends early; undefined where a part has no limit. */
function stepLimit({ parts, batchSize }: Recipe, data: RaceData): number | undefined {
  const limits = parts.flatMap(({ method: id, options }) => {
    const method = getMethod(id)
    return method.trains ? [method.maximumPasses?.(optionsOf(method, options)) ?? Infinity] : []
  })
  const passes = Math.max(...limits)
  return Number.isFinite(passes) ? passes * Math.max(1, Math.floor(data.training().labels.length / batchSize)) : undefined
}
