// One run's training: its trained tensors and optimiser moments, and the step that changes them.
import * as tf from '@tensorflow/tfjs'
import type { MemoryMeter } from '../device/memory'
import { assertDeviceHealthy } from '../device/start'
import { UserError } from '../errors'
import { adamw, type AdamwState } from '../kernels/adamw'
import { globalNorm } from '../kernels/globalNorm'
import { adaptationOf } from '../methods/combine'
import type { Adaptation, MethodContext, NamedTensors, SavedPrompt } from '../methods/method'
import { getMethod, optionsOf } from '../methods/registry'
import type { Batch } from '../model/batch'
import type { Decoder } from '../model/decoder'
import { Random, type RandomState } from '../random'
import { Accounts, type AccountsState } from './accounts'
import { momentName, type CheckpointKind, type StoredTensors } from './checkpoint'
import { clipScale } from './clip'
import type { Budget, Recipe } from './recipe'
import { checkRecipe } from './recipeProblem'
import type { StepRecord } from './records'
import { isWithin, learningRateFactor, progressWithin } from './schedule'

export interface TrainerOptions {
  decoder: Decoder
  recipe: Recipe
  budget: Budget
  encode: MethodContext['encode']
  labelWords: readonly string[]
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

interface Trained extends AdamwState {
  name: string
  /** Index of the recipe's part that trains it. */
  part: number
}

/** Tunes a frozen decoder by a recipe. Never changes the decoder's own tensors. */
export class Trainer {
  readonly #options: TrainerOptions
  #trained: Trained[]
  #accounts = new Accounts()
  #random: Random
  #stepsDone = 0
  /** Updates of each part: those of the steps within its window. */
  #partSteps: number[]

  private constructor(options: TrainerOptions, trained: Trained[], random: Random) {
    this.#options = options
    this.#trained = trained
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
      weight: (name) => decoder.weight(name),
      weightNames: decoder.weightNames,
      embeddings: decoder.weight(decoder.layout.embedding) as tf.Tensor2D,
      tensor: (values, shape) => tf.tensor(values, shape, 'float32'),
      encode,
      labelWords,
      saved,
      random
    }
    const trained: Trained[] = []
    try {
      for (const [part, { method: id, options: values }] of recipe.parts.entries()) {
        const method = getMethod(id)
        const parameters = await method.initialParameters(context, optionsOf(method, values))
        for (const [name, parameter] of Object.entries(parameters)) {
          trained.push({ name, part, parameter, firstMoment: tf.zerosLike(parameter), secondMoment: tf.zerosLike(parameter) })
        }
      }
    } catch (error) {
      disposeAll(trained)
      throw error
    }
    return new Trainer(options, trained, random)
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
    const { budget } = this.#options
    return budget.kind === 'steps' ? this.#stepsDone / budget.steps : this.#accounts.seconds / budget.seconds
  }

  get trainableParameters(): number {
    return this.#trained.reduce((sum, { parameter }) => sum + parameter.size, 0)
  }

  /** Shapes of the trained tensors by name. */
  get shapes(): Record<string, readonly number[]> {
    return Object.fromEntries(this.#trained.map(({ name, parameter }) => [name, parameter.shape]))
  }

  /** The tensors as they are now, for evaluation. Valid until the next step, `restore` or `dispose`. */
  adaptation(): Adaptation {
    const parameters: NamedTensors = Object.fromEntries(this.#trained.map(({ name, parameter }) => [name, parameter]))
    return adaptationOf(this.#options.recipe.parts, parameters, this.#options.decoder.config)
  }

  /**
   * One update: loss, gradients of exactly what the recipe trains now, clipping by their norm, AdamW. The device is read once, when all of it is queued, so that the
   * measured time is the step's own. Where the loss or the gradient's norm is not finite, the update is dropped, the tensors stay as they were
   * and the answer is `diverged`. Throws a `UserError` where the device failed.
   */
  async step(batch: Batch): Promise<StepRecord | 'diverged'> {
    const { recipe, memory } = this.#options
    const bytesBefore = memory?.bytes ?? 0
    memory?.reset()
    const started = performance.now()
    const { progress } = this
    const isActive = recipe.parts.map(({ window }) => isWithin(window, progress))
    const learningRates = recipe.parts.map(({ window, learningRate }, part) =>
      isActive[part] ? learningRate * learningRateFactor(recipe.schedule, this.#partSteps[part]!, progressWithin(window, progress)) : 0
    )
    const active = this.#trained.filter(({ part }) => isActive[part])
    const { measured, updated, virtualTokens } = this.#update(batch, active, learningRates)
    let kept = updated
    try {
      const [loss, gradientNorm] = (await measured.data()) as unknown as [number, number]
      assertDeviceHealthy()
      if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) return 'diverged'
      kept = active
      const next = new Map(active.map((trained, i) => [trained, { ...trained, ...updated[i] }]))
      this.#trained = this.#trained.map((trained) => next.get(trained) ?? trained)
      this.#stepsDone++
      this.#partSteps = this.#partSteps.map((steps, part) => steps + (isActive[part] ? 1 : 0))
      const tokens = batch.lengths.reduce((sum, length) => sum + length, 0)
      const paddedTokens = batch.size * (batch.time + virtualTokens)
      const milliseconds = this.#accounts.addStep(`${batch.size}x${batch.time}`, paddedTokens, tokens, performance.now() - started)
      if (memory) this.#accounts.notePeak(memory.peak - bytesBefore + this.#bytes)
      return { step: this.#stepsDone, loss, learningRates, gradientNorm, tokens, milliseconds }
    } finally {
      measured.dispose()
      disposeAll(kept)
    }
  }

  /** Everything beside the tensors that a restored trainer needs. */
  get state(): TrainerState {
    return { step: this.#stepsDone, partSteps: [...this.#partSteps], accounts: this.#accounts.state, random: this.#random.state }
  }

  /** Copies of the trained tensors, and for `last` of the optimiser's moments too. Await them before the next step. */
  async tensors(kind: CheckpointKind): Promise<StoredTensors> {
    const named = this.#trained.flatMap(({ name, parameter, firstMoment, secondMoment }): [string, tf.Tensor][] => {
      const trained: [string, tf.Tensor] = [name, parameter]
      return kind === 'best' ? [trained] : [trained, [momentName('first', name), firstMoment], [momentName('second', name), secondMoment]]
    })
    // Copies, because a backend may keep the array that it hands out.
    const values = await Promise.all(named.map(async ([, tensor]) => (await tensor.data()).slice() as Float32Array))
    assertDeviceHealthy()
    return Object.fromEntries(named.map(([name, { shape }], i) => [name, { shape, data: values[i]! }]))
  }

  /** Goes on bit for bit from another trainer's `state` and its tensors of kind `last`. Throws a `UserError` where it belongs to another recipe; then nothing has changed. */
  restore({ state, tensors }: { state: TrainerState; tensors: StoredTensors }): void {
    const find = (name: string, shape: readonly number[]): { shape: number[]; data: Float32Array } => {
      const stored = tensors[name]
      if (stored?.shape.join() === shape.join()) return stored
      throw new UserError(`The checkpoint does not fit this run: "${name}" is missing or of another shape.`, 'Start the run anew.')
    }
    const found = this.#trained.map(({ name, parameter: { shape } }) => ({
      parameter: find(name, shape),
      firstMoment: find(momentName('first', name), shape),
      secondMoment: find(momentName('second', name), shape)
    }))
    disposeAll(this.#trained)
    const put = ({ shape, data }: { shape: number[]; data: Float32Array }): tf.Tensor => tf.tensor(data.slice(), shape, 'float32')
    this.#trained = this.#trained.map(({ name, part }, i) => {
      const { parameter, firstMoment, secondMoment } = found[i]!
      return { name, part, parameter: put(parameter), firstMoment: put(firstMoment), secondMoment: put(secondMoment) }
    })
    this.#stepsDone = state.step
    this.#partSteps = state.partSteps ? [...state.partSteps] : this.#partSteps.map(() => state.step)
    this.#random = new Random(state.random)
    this.#accounts = new Accounts(state.accounts)
  }

  dispose(): void {
    disposeAll(this.#trained)
    this.#trained = []
  }

  /** Bytes of the trained tensors and their moments. */
  get #bytes(): number {
    return 3 * 4 * this.trainableParameters
  }

  /** Queues a whole step and reads nothing back. The caller owns `measured`, the loss and the gradient's norm, and the updated tensors. */
  #update(
    batch: Batch,
    active: readonly Trained[],
    learningRates: readonly number[]
  ): { measured: tf.Tensor1D; updated: AdamwState[]; virtualTokens: number } {
    const { decoder, recipe } = this.#options
    const updated: AdamwState[] = []
    let virtualTokens = 0
    const measured = tf.tidy(() => {
      const parameters = active.map(({ parameter }) => parameter)
      const { value: loss, grads: gradients } = tf.valueAndGrads(() => {
        const adaptation = this.adaptation()
        virtualTokens = adaptation.virtualTokens?.shape[0] ?? 0
        return decoder.loss(batch, adaptation)
      })(parameters)
      const norm = globalNorm(gradients)
      const gradientScale = clipScale(norm, recipe.optimiser.clipNorm)
      active.forEach((trained, i) => {
        const gradient = gradients[i]!
        const { weightDecay } = recipe.parts[trained.part]!
        const learningRate = learningRates[trained.part]!
        // Tensor by tensor, so that the update's intermediates are not all alive at once.
        tf.tidy(() => {
          const state = adamw({
            ...recipe.optimiser,
            ...trained,
            gradient,
            gradientScale,
            weightDecay,
            learningRate,
            step: this.#partSteps[trained.part]! + 1
          })
          updated.push(state)
          return tensorsOf(state).map((tensor) => tf.keep(tensor))
        })
        gradient.dispose()
      })
      return tf.stack([loss, norm]) as tf.Tensor1D
    })
    return { measured, updated, virtualTokens }
  }
}

const tensorsOf = ({ parameter, firstMoment, secondMoment }: AdamwState): tf.Tensor[] => [parameter, firstMoment, secondMoment]

function disposeAll(states: readonly AdamwState[]): void {
  tf.dispose(states.flatMap(tensorsOf))
}
