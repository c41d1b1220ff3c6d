// AdamW over all tensors that a run trains: clipping by the norm of all gradients together, then the update of each.
import * as tf from '@tensorflow/tfjs'
import { adamwComposed } from './adamw'
import { clipScale, globalNormComposed } from './globalNorm'
import { FusedOptimiser } from './webgpu/optimiser'
import { isWebGpu } from './webgpu/run'

export interface OptimiserSettings {
  beta1: number
  beta2: number
  epsilon: number
  /** Of all gradients together; 0 is no clipping. */
  clipNorm: number
}

/** One tensor to train. */
export interface TrainedTensor {
  /** Float32 of any shape. The optimiser owns it from now on. */
  parameter: tf.Tensor
  /** Whose learning rate and decay it follows: an index into `rates`. */
  part: number
  /** Where it goes on from; zeros where absent. */
  moments?: Moments
}

export interface Moments {
  first: Float32Array
  second: Float32Array
}

/** How the tensors of one part move in one update. */
export interface UpdateRate {
  learningRate: number
  /** Decoupled from the gradient. */
  weightDecay: number
  /** 1 for the part's first update. */
  step: number
}

/** The rates of all parts in one update; undefined where a part is frozen now. */
export interface UpdateRates {
  byPart: readonly (UpdateRate | undefined)[]
  /** For the device, four numbers a part: learning rate, what decay leaves, and both corrections of the moments' start at zero; zeros where frozen. */
  values: Float32Array
}

export function updateRates(byPart: UpdateRates['byPart'], { beta1, beta2 }: OptimiserSettings): UpdateRates {
  const values = byPart.flatMap((rate) => {
    if (!rate) return [0, 0, 0, 0]
    const { learningRate, weightDecay, step } = rate
    return [learningRate, 1 - learningRate * weightDecay, 1 / (1 - beta1 ** step), 1 / (1 - beta2 ** step)]
  })
  return { byPart, values: Float32Array.from(values) }
}

export interface UpdateInputs {
  /** Scalar. An update after a loss or with a gradient that is not finite is dropped. */
  loss: tf.Scalar
  /** One for each trained tensor, in their order; undefined where the tensor is frozen now. */
  gradients: readonly (tf.Tensor | undefined)[]
  rates: UpdateRates
}

export interface Optimiser {
  /** The trained tensors as they are now, in their order. */
  readonly parameters: readonly tf.Tensor[]
  /** True where `update` makes the update too, on the device: the loss and the gradients need not outlive it, and `commit` has nothing to do. */
  readonly inPlace: boolean
  /** Queues the norm of the gradients. The caller owns the result: `[2]` float32, the loss and the norm before clipping. */
  update(inputs: UpdateInputs): tf.Tensor1D
  /** Makes the update, where `update` has not; to be called when its result was read and is finite. */
  commit(inputs: UpdateInputs, measured: { norm: number }): void
  /** Both moments of each tensor, as copies on the host. */
  moments(): Promise<Moments[]>
  dispose(): void
}

/** The optimiser for the current backend: in place and in a few dispatches on WebGPU, tensor by tensor elsewhere. */
export function createOptimiser(tensors: readonly TrainedTensor[], settings: OptimiserSettings): Optimiser {
  return isWebGpu() ? new FusedOptimiser(tensors, settings) : new ComposedOptimiser(tensors, settings)
}

/** The form in TensorFlow.js operations, for every backend. At most one tensor has its old and its new state at a time. */
export class ComposedOptimiser implements Optimiser {
  readonly inPlace = false
  readonly #settings: OptimiserSettings
  readonly #states: { part: number; parameter: tf.Tensor; firstMoment: tf.Tensor; secondMoment: tf.Tensor }[]

  constructor(tensors: readonly TrainedTensor[], settings: OptimiserSettings) {
    this.#settings = settings
    this.#states = tensors.map(({ parameter, part, moments }) => {
      const moment = (values?: Float32Array): tf.Tensor => (values ? tf.tensor(values.slice(), parameter.shape) : tf.zerosLike(parameter))
      return { part, parameter, firstMoment: moment(moments?.first), secondMoment: moment(moments?.second) }
    })
  }

  get parameters(): readonly tf.Tensor[] {
    return this.#states.map(({ parameter }) => parameter)
  }

  update({ loss, gradients }: UpdateInputs): tf.Tensor1D {
    return tf.tidy(() => tf.stack([loss, globalNormComposed(gradients.filter((gradient) => gradient !== undefined))]) as tf.Tensor1D)
  }

  commit({ gradients, rates }: UpdateInputs, { norm }: { norm: number }): void {
    const gradientScale = tf.scalar(clipScale(norm, this.#settings.clipNorm))
    this.#states.forEach((state, at) => {
      const { part, parameter, firstMoment, secondMoment } = state
      const gradient = gradients[at]
      const rate = rates.byPart[part]
      if (!gradient || !rate) return
      Object.assign(
        state,
        tf.tidy(() => adamwComposed({ ...this.#settings, ...rate, parameter, firstMoment, secondMoment, gradient, gradientScale }) as never)
      )
      tf.dispose([parameter, firstMoment, secondMoment])
    })
    gradientScale.dispose()
  }

  moments(): Promise<Moments[]> {
    const values = async (tensor: tf.Tensor): Promise<Float32Array> => (await tensor.data()).slice() as Float32Array
    return Promise.all(
      this.#states.map(async ({ firstMoment, secondMoment }) => ({ first: await values(firstMoment), second: await values(secondMoment) }))
    )
  }

  dispose(): void {
    tf.dispose(this.#states.flatMap(({ parameter, firstMoment, secondMoment }) => [parameter, firstMoment, secondMoment]))
    this.#states.length = 0
  }
}
