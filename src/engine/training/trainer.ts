// One run's training: its trained tensors and optimiser moments, and the step that changes them.
import * as tf from '@tensorflow/tfjs'
import type { MemoryMeter } from '../device/memory'
import { assertDeviceHealthy } from '../device/start'
import { UserError } from '../errors'
import type { Split } from '../evaluation/evaluate'
import { featuresOf, readFeatures, type Features } from '../evaluation/features'
import { headLoss } from '../kernels/headLoss'
import { valueAndGradients } from '../kernels/gradients'
import { createOptimiser, updateRates, type Optimiser, type TrainedTensor, type UpdateInputs, type UpdateRates } from '../kernels/optimiser'
import { isWebGpu } from '../kernels/webgpu/run'
import { arraysOf } from '../hostArrays'
import { adaptationOf } from '../methods/combine'
import type { Adaptation, MethodContext, NamedTensors, SavedPrompt, TrainingPass } from '../methods/method'
import { getMethod, optionsOf } from '../methods/registry'
import { withRoundLabels, type Batch } from '../model/batch'
import type { Decoder } from '../model/decoder'
import { Random, type RandomState } from '../random'
import { Accounts, type AccountsState } from './accounts'
import { CapturedSteps, type StepResult } from './capturedSteps'
import { momentName, type CheckpointKind, type StoredTensors } from './checkpoint'
import type { Budget, Recipe, RecipePart } from './recipe'
import { layersComputedAgain } from './computedAgain'
import { checkRecipe } from './recipeProblem'
import type { StepRecord } from './records'
import { isWithin, learningRateFactor, progressWithin } from './schedule'

export interface TrainerOptions {
  decoder: Decoder
  recipe: Recipe
  budget: Budget
  encode: MethodContext['encode']
  labelWords: readonly string[]
  /** Ends a budget of seconds early. */
  maximumSteps?: number
  /** Soft prompts to start from, by the id of their run. */
  saved?: ReadonlyMap<string, SavedPrompt>
  /** Where the peak is read; without it `peakBytes` stays 0. */
  memory?: MemoryMeter
}

/** Enough to go on bit for bit on the same backend. */
export interface TrainerState {
  step: number
  /** Updates of each part of the recipe; absent: `step` of each. */
  partSteps?: number[]
  accounts: AccountsState
  random: RandomState
}

interface Trained {
  name: string
  shape: number[]
  /** Index of the recipe's part that trains it. */
  part: number
}

type InitialTensor = { name: string } & TrainedTensor

/** Tunes a frozen decoder by a recipe. Never changes the decoder's own tensors. */
export class Trainer {
  readonly #options: TrainerOptions
  readonly #trained: readonly Trained[]
  #optimiser: Optimiser
  readonly #replays = new CapturedSteps()
  #virtualTokens = 0
  #accounts = new Accounts()
  #random: Random
  #stepsDone = 0
  /** Updates of each part: those of the steps within its window. */
  #partSteps: number[]

  private constructor(options: TrainerOptions, tensors: readonly InitialTensor[], random: Random) {
    this.#options = options
    this.#trained = tensors.map(({ name, part, parameter }) => ({ name, part, shape: parameter.shape }))
    this.#optimiser = createOptimiser(tensors, options.recipe.optimiser)
    this.#random = random
    this.#partSteps = options.recipe.parts.map(() => 0)
  }

  /** Makes the first tensors of every part. Throws a `UserError` where the recipe has a problem or an option cannot be met. */
  static async create(options: TrainerOptions): Promise<Trainer> {
    const { decoder, recipe, encode, labelWords, saved = new Map<string, SavedPrompt>() } = options
    checkRecipe(recipe, { config: decoder.config, layout: decoder.layout, labels: labelWords.length })
    const random = new Random(recipe.seed)
    const context: MethodContext = {
      config: decoder.config,
      layout: decoder.layout,
      copyOf: (name) => decoder.copyOf(name),
      weightNames: decoder.weightNames,
      embeddingsOf: (ids) => decoder.embeddingsOf(ids),
      tensor: (values, shape) => tf.tensor(values, shape, 'float32'),
      encode,
      labelWords,
      saved,
      random
    }
    const tensors: InitialTensor[] = []
    try {
      for (const [part, { method: id, options: values }] of recipe.parts.entries()) {
        const method = getMethod(id)
        const parameters = await method.initialParameters(context, optionsOf(method, values))
        for (const [name, parameter] of Object.entries(parameters)) tensors.push({ name, part, parameter })
      }
    } catch (error) {
      tf.dispose(tensors.map(({ parameter }) => parameter))
      throw error
    }
    return new Trainer(options, tensors, random)
  }

  /** Updates made so far. */
  get stepsDone(): number {
    return this.#stepsDone
  }

  get accounts(): Accounts {
    return this.#accounts
  }

  /** Share of the budget that is used up, from 0; 1 and more is the end. */
  get progress(): number {
    const { budget, maximumSteps = Infinity } = this.#options
    if (budget.kind === 'steps') return this.#stepsDone / budget.steps
    return Math.max(this.#accounts.seconds / budget.seconds, this.#stepsDone / maximumSteps)
  }

  /** Steps after which a budget of seconds ends early, where there is such a limit. */
  get maximumSteps(): number | undefined {
    return this.#options.maximumSteps
  }

  /** True while nothing but a label head is trained: then the hidden states that it reads stay the same. */
  get readsFeatures(): boolean {
    const { progress } = this
    const trained = this.#options.recipe.parts.filter(({ method }) => getMethod(method).trains)
    const frozen = ({ window }: RecipePart): boolean => !isWithin(window, progress)
    const reads = ({ method }: RecipePart): boolean => getMethod(method).readsFeatures ?? false
    return trained.some(reads) && trained.every((part) => reads(part) || frozen(part))
  }

  /** What a label head reads of each training example. The time is charged as training, without compilation. Throws a `UserError` where the device failed. */
  async readFeatures(split: Split, between: () => Promise<void>): Promise<Features> {
    const { decoder, memory } = this.#options
    const bytesBefore = memory?.bytes ?? 0
    memory?.reset()
    const waiting = async (): Promise<void> => {
      await between()
      memory?.reset()
    }
    return readFeatures(decoder, split, this.adaptation(), waiting, ({ size, time, tokens, milliseconds }) => {
      this.#accounts.addStep(`features ${size}x${time}`, size * time, tokens, milliseconds, false)
      if (memory) this.#accounts.notePeak(memory.peak - bytesBefore + this.#bytes)
    })
  }

  get trainableParameters(): number {
    return this.#optimiser.parameters.reduce((sum, { size }) => sum + size, 0)
  }

  /** Shapes of the trained tensors by name. */
  get shapes(): Record<string, readonly number[]> {
    return Object.fromEntries(this.#trained.map(({ name, shape }) => [name, shape]))
  }

  /** The tensors as they are now, for evaluation, or for a training step where `training` is given. Valid until the next step, `restore` or `dispose`. */
  adaptation(training?: TrainingPass): Adaptation {
    const { parameters: tensors } = this.#optimiser
    const parameters: NamedTensors = Object.fromEntries(this.#trained.map(({ name }, at) => [name, tensors[at]!]))
    return adaptationOf(this.#options.recipe.parts, parameters, this.#options.decoder.config, training)
  }

  /**
   * One update: loss, gradients of exactly what the recipe trains now, clipping by their norm, AdamW. The device is read once, when all of it is queued, so that the
   * measured time is the step's own. Where the loss or the gradient's norm is not finite, the update is dropped, the tensors stay as they were
   * and the answer is `diverged`. With the `features` of the training examples only a label head is computed.
   * Throws a `UserError` where the device failed.
   */
  async step(given: Batch, features?: Features): Promise<StepRecord | 'diverged'> {
    const batch = withRoundLabels(given)
    const { recipe, memory } = this.#options
    const bytesBefore = memory?.bytes ?? 0
    memory?.reset()
    const started = performance.now()
    const { progress } = this
    const isActive = recipe.parts.map(({ window }) => isWithin(window, progress))
    const learningRates = recipe.parts.map(({ window, learningRate }, part) =>
      isActive[part] ? learningRate * learningRateFactor(recipe.schedule, this.#partSteps[part]!, progressWithin(window, progress)) : 0
    )
    const rates = updateRates(
      recipe.parts.map(({ weightDecay }, part) =>
        isActive[part] ? { learningRate: learningRates[part]!, weightDecay, step: this.#partSteps[part]! + 1 } : undefined
      ),
      recipe.optimiser
    )
    let uncommitted: UpdateInputs | undefined
    const tape = (): tf.Tensor1D => {
      const { update, measured } = this.#queue(batch, isActive, rates, features)
      if (uncommitted) disposeOf(uncommitted)
      uncommitted = this.#optimiser.inPlace ? undefined : update
      if (!uncommitted) disposeOf(update)
      return measured
    }
    try {
      const { values, workingBytes } = await this.#run(batch, isActive, rates, features, tape)
      const [loss, gradientNorm] = values as unknown as [number, number]
      assertDeviceHealthy()
      if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) return 'diverged'
      if (uncommitted) this.#optimiser.commit(uncommitted, { norm: gradientNorm })
      this.#stepsDone++
      this.#partSteps = this.#partSteps.map((steps, part) => steps + (isActive[part] ? 1 : 0))
      const tokens = features ? 0 : batch.lengths.reduce((sum, length) => sum + length, 0)
      const paddedTokens = features ? batch.size : batch.size * batch.time + this.#virtualTokens
      const shape = features ? `head ${batch.size}` : `${batch.size}x${batch.time}`
      const milliseconds = this.#accounts.addStep(shape, paddedTokens, tokens, performance.now() - started)
      if (memory) this.#accounts.notePeak(Math.max(memory.peak - bytesBefore, workingBytes) + this.#bytes)
      return { step: this.#stepsDone, loss, learningRates, gradientNorm, tokens, milliseconds }
    } finally {
      if (uncommitted) disposeOf(uncommitted)
    }
  }

  /** Everything beside the tensors that a restored trainer needs. */
  get state(): TrainerState {
    return { step: this.#stepsDone, partSteps: [...this.#partSteps], accounts: this.#accounts.state, random: this.#random.state }
  }

  /** Copies of the trained tensors, and for `last` of the optimiser's moments too. Await them before the next step. */
  async tensors(kind: CheckpointKind): Promise<StoredTensors> {
    const { parameters } = this.#optimiser
    // Copies, because a backend may keep the array that it hands out.
    const values = await Promise.all(parameters.map(async (tensor) => (await tensor.data()).slice() as Float32Array))
    const moments = kind === 'last' ? await this.#optimiser.moments() : undefined
    assertDeviceHealthy()
    const stored: StoredTensors = {}
    this.#trained.forEach(({ name, shape }, at) => {
      stored[name] = { shape, data: values[at]! }
      if (!moments) return
      stored[momentName('first', name)] = { shape, data: moments[at]!.first }
      stored[momentName('second', name)] = { shape, data: moments[at]!.second }
    })
    return stored
  }

  /** Goes on bit for bit from another trainer's `state` and its tensors of kind `last`. Throws a `UserError` where it belongs to another recipe; then nothing has changed. */
  restore({ state, tensors }: { state: TrainerState; tensors: StoredTensors }): void {
    const find = (name: string, shape: readonly number[]): Float32Array => {
      const stored = tensors[name]
      if (stored?.shape.join() === shape.join()) return stored.data
      throw new UserError(`The checkpoint does not fit this run: "${name}" is missing or of another shape.`, 'Start the run anew.')
    }
    const found = this.#trained.map(({ name, shape }) => ({
      values: find(name, shape),
      moments: { first: find(momentName('first', name), shape), second: find(momentName('second', name), shape) }
    }))
    this.#replays.clear()
    this.#optimiser.dispose()
    const restored = this.#trained.map(({ part, shape }, at) => {
      const { values, moments } = found[at]!
      return { part, parameter: tf.tensor(values.slice(), shape, 'float32'), moments }
    })
    this.#optimiser = createOptimiser(restored, this.#options.recipe.optimiser)
    this.#stepsDone = state.step
    this.#partSteps = state.partSteps ? [...state.partSteps] : this.#partSteps.map(() => state.step)
    this.#random = new Random(state.random)
    this.#accounts = new Accounts(state.accounts)
  }

  dispose(): void {
    this.#replays.clear()
    this.#optimiser.dispose()
  }

  /** From the recipe's seed and the step alone, so that a run that goes on from a checkpoint draws the same. */
  get #stepSeed(): number {
    return (Math.imul(this.#options.recipe.seed, 0x9e3779b1) ^ this.#stepsDone) >>> 0
  }

  #computedAgain({ size, time, labelRows }: Batch): number {
    const { decoder, recipe, labelWords } = this.#options
    const { config, layout, bytes: total, parameters } = decoder
    const base = { total, largest: 0, parameters, fused: isWebGpu() }
    return layersComputedAgain(recipe, { size, time, labelRows: labelRows.length }, { config, layout, labels: labelWords.length }, base)
  }

  /** Bytes of the trained tensors and their moments. */
  get #bytes(): number {
    return 3 * 4 * this.trainableParameters
  }

  /** Makes one step and reads its result, from a replay where one fits: `values` are the loss and the gradient's norm. */
  async #run(
    batch: Batch,
    isActive: readonly boolean[],
    rates: UpdateRates,
    features: Features | undefined,
    tape: () => tf.Tensor1D
  ): Promise<StepResult> {
    const drawsAnew = this.#options.recipe.parts.some(({ method, options }) => getMethod(method).drawsAnew?.(options))
    // What a label head reads is looked up on the host.
    if (drawsAnew || features) return this.#replays.onTape(tape)
    const arrays = { ...arraysOf(batch), rates: rates.values }
    const lengths = Object.entries(arrays).map(([name, { length }]) => `${name} ${length}`)
    return this.#replays.run({
      key: [batch.size, batch.time, ...isActive, ...lengths].join(),
      arrays,
      longest: batch.lengths.reduce((longest, length) => Math.max(longest, length), 0),
      tape
    })
  }

  /** Queues a step and reads nothing back. The caller owns `measured`, `[loss, gradient's norm]`, and the loss and the gradients of `update`. */
  #queue(
    batch: Batch,
    isActive: readonly boolean[],
    rates: UpdateRates,
    features: Features | undefined
  ): { update: UpdateInputs; measured: tf.Tensor1D } {
    const { decoder, recipe } = this.#options
    const { parameters } = this.#optimiser
    const active = parameters.filter((_, at) => isActive[this.#trained[at]!.part])
    const { value: loss, gradients: found } = valueAndGradients(
      () => {
        const adaptation = this.adaptation({ seed: this.#stepSeed, tensor: (values, shape) => tf.tensor(values, shape, 'float32') })
        this.#virtualTokens = adaptation.virtualTokens?.shape[0] ?? 0
        const { classes } = batch
        return features && classes && adaptation.labelScores
          ? headLoss(adaptation.labelScores(featuresOf(features, classes.examples)), classes.labels)
          : decoder.loss(batch, adaptation, { computedAgain: this.#computedAgain(batch) })
      },
      active,
      { checkpointing: recipe.gradientCheckpointing }
    )
    const gradients = parameters.map((parameter) => found[active.indexOf(parameter)])
    const update: UpdateInputs = { loss, gradients, rates }
    return { update, measured: this.#optimiser.update(update) }
  }
}

function disposeOf({ loss, gradients }: UpdateInputs): void {
  tf.dispose([loss, ...gradients.filter((gradient) => gradient !== undefined)])
}
