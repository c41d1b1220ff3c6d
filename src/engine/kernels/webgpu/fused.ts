// Puts a fused operation on the TensorFlow.js tape: a kernel with a gradient, of which only what is asked for is computed.
import * as tf from '@tensorflow/tfjs'
import { isDifferentiated } from '../gradients'
import { runner, type Runner } from './run'

type Shape = readonly number[]

export interface FusedOperation<Attributes extends object> {
  name: string
  /**
   * Inputs (scratch among them) that the gradients read: a list where those of all inputs do, else for each the inputs whose gradients read it. Those that a
   * call leaves out, and those that serve no gradient that is wanted, are left out there too.
   */
  saved?: readonly string[] | Readonly<Record<string, readonly string[]>>
  /**
   * Further tensors that the forward pass fills for the backward pass, by name: they enter as inputs that nothing differentiates, so the tape keeps them
   * exactly as long as it needs them.
   */
  scratch?(inputs: tf.NamedTensorMap, attributes: Attributes): Record<string, Shape>
  /** Shape of the result. */
  shape(inputs: tf.NamedTensorMap, attributes: Attributes): Shape
  forward(run: Runner, output: tf.TensorInfo, inputs: tf.NamedTensorMap, attributes: Attributes): void
  /** One thunk an input; a thunk runs only where that input's gradient is wanted. */
  gradient?(run: Runner, dy: tf.Tensor, saved: tf.NamedTensorMap, attributes: Attributes): Record<string, () => tf.Tensor>
}

/** The same with several results: their shapes, tensors and gradients come in one order. */
export interface FusedGroup<Attributes extends object> extends Pick<FusedOperation<Attributes>, 'name' | 'saved' | 'scratch'> {
  shapes(inputs: tf.NamedTensorMap, attributes: Attributes): readonly Shape[]
  forward(run: Runner, outputs: readonly tf.TensorInfo[], inputs: tf.NamedTensorMap, attributes: Attributes): void
  gradient?(run: Runner, dys: readonly tf.Tensor[], saved: tf.NamedTensorMap, attributes: Attributes): Record<string, () => tf.Tensor>
}

type Call<Attributes, Result> = (inputs: Record<string, tf.Tensor | undefined>, attributes: Attributes) => Result

/** Returns the function that runs an operation with one result; see `fusedMany`. */
export function fused<Attributes extends object>(operation: FusedOperation<Attributes>): Call<Attributes, tf.Tensor> {
  const { shape, forward, gradient, ...rest } = operation
  const many = fusedMany<Attributes>({
    ...rest,
    shapes: (inputs, attributes) => [shape(inputs, attributes)],
    forward: (run, outputs, inputs, attributes) => forward(run, outputs[0] as tf.TensorInfo, inputs, attributes),
    gradient: gradient && ((run, dys, saved, attributes) => gradient(run, dys[0] as tf.Tensor, saved, attributes))
  })
  return (inputs, attributes) => many(inputs, attributes)[0] as tf.Tensor
}

/**
 * Returns the function that runs the operation on WebGPU. Inputs that are undefined are left out. TensorFlow.js saves a fixed list of inputs by kernel
 * name, so each combination of present inputs is registered under its own name, at its first use.
 */
export function fusedMany<Attributes extends object>(operation: FusedGroup<Attributes>): Call<Attributes, tf.Tensor[]> {
  const registered = new Map<string, string>()
  return (given, attributes) => {
    const inputs: tf.NamedTensorMap = {}
    for (const [name, tensor] of Object.entries(given)) if (tensor) inputs[name] = tensor
    const scratch: tf.NamedTensorMap = {}
    for (const [name, shape] of Object.entries(operation.scratch?.(inputs, attributes) ?? {})) scratch[name] = empty(shape)
    const all = { ...inputs, ...scratch }
    const saved = savedOf(operation, inputs, all)
    const combination = saved.join()
    let name = registered.get(combination)
    if (!name) {
      name = registered.size ? `${operation.name} ${combination}` : operation.name
      registered.set(combination, name)
      register(operation, name, saved)
    }
    const outputs = tf.engine().runKernel<tf.Tensor[]>(name, all as never, attributes as never)
    tf.dispose(scratch)
    return outputs
  }
}

/** What a call keeps for its gradients: nothing where nobody asks for one. */
function savedOf<Attributes extends object>(
  { saved = [] }: Pick<FusedGroup<Attributes>, 'saved'>,
  inputs: tf.NamedTensorMap,
  all: tf.NamedTensorMap
): string[] {
  const wanted = new Set(Object.keys(inputs).filter((name) => isDifferentiated(inputs[name] as tf.Tensor)))
  if (wanted.size === 0) return []
  const readers = saved instanceof Array ? undefined : (saved as Readonly<Record<string, readonly string[]>>)
  const names = readers ? Object.keys(readers) : (saved as readonly string[])
  return names.filter((name) => name in all && (readers?.[name]?.some((reader) => wanted.has(reader)) ?? true))
}

function register<Attributes extends object>(operation: FusedGroup<Attributes>, kernelName: string, saved: string[]): void {
  tf.registerKernel({
    kernelName,
    backendName: 'webgpu',
    kernelFunc: ({ inputs, attrs }) => {
      const run = runner()
      const tensors = inputs as unknown as tf.NamedTensorMap
      const attributes = attrs as unknown as Attributes
      const outputs = operation.shapes(tensors, attributes).map((shape) => run.allocate(shape))
      operation.forward(run, outputs, tensors, attributes)
      return outputs
    }
  })
  const { gradient } = operation
  if (!gradient) return
  tf.registerGradient({
    kernelName,
    inputsToSave: saved,
    gradFunc: (dys, kept, attrs) => {
      const tensors = Object.fromEntries(saved.map((name, at) => [name, kept[at] as tf.Tensor]))
      return gradient(runner(), [dys].flat(), tensors, attrs as unknown as Attributes)
    }
  })
}

/**
 * A float32 tensor without contents, tracked by the current scope; its memory is taken at its first dispatch. Gradients that one dispatch computes
 * together are made so in the gradient function itself, whose scope outlives each thunk's.
 */
export function empty(shape: Shape): tf.Tensor {
  return tf.engine().makeTensorFromTensorInfo(runner().allocate(shape))
}

/** Runs `fill` at the first of several thunks. */
export function once(fill: () => void): () => void {
  let done = false
  return () => {
    if (!done) fill()
    done = true
  }
}
