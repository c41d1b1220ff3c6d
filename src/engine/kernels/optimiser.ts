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

export interface UpdateInputs {
  /** Scalar. An update after a loss or with a gradient that is not finite is dropped. */
  loss: tf.Scalar
  /** One for each trained tensor, in their order; undefined where the tensor is frozen now. The caller disposes them when the update is done. */
  gradients: readonly (tf.Tensor | undefined)[]
  /** One for each part; undefined where the part is frozen now. */
  rates: readonly (UpdateRate | undefined)[]
}

export interface Optimiser {
  /** The trained tensors as they are now, in their order. */
  readonly parameters: readonly tf.Tensor[]
  /**
   * Queues the norm of the gradients and, where a device does that without being asked again, the update. The caller owns the result: `[2]` float32,
   * the loss and the norm before clipping.
   */
  update(inputs: UpdateInputs): tf.Tensor1D
  /** To be called when `measured`, what `update` gave, was read and is finite: makes the update unless it is made. */
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
      const rate = rates[part]
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
