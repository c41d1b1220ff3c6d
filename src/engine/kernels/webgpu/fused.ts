// Puts a fused operation on the TensorFlow.js tape: a kernel with a gradient, of which only what is asked for is computed.
import * as tf from '@tensorflow/tfjs'
import { runner, type Runner } from './run'

type Shape = readonly number[]

export interface FusedOperation<Attributes extends object> {
  name: string
  /** Inputs (scratch among them) that the gradient reads; those that a call leaves out are left out there too. */
  saved?: readonly string[]
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

/**
 * Returns the function that runs the operation on WebGPU. Inputs that are undefined are left out. TensorFlow.js saves a fixed list of inputs by kernel
 * name, so each combination of present inputs is registered under its own name, at its first use.
 */
export function fused<Attributes extends object>(
  operation: FusedOperation<Attributes>
): (inputs: Record<string, tf.Tensor | undefined>, attributes: Attributes) => tf.Tensor {
  const registered = new Map<string, string>()
  return (given, attributes) => {
    const inputs: tf.NamedTensorMap = {}
    for (const [name, tensor] of Object.entries(given)) if (tensor) inputs[name] = tensor
    const scratch: tf.NamedTensorMap = {}
    for (const [name, shape] of Object.entries(operation.scratch?.(inputs, attributes) ?? {})) scratch[name] = empty(shape)
    const all = { ...inputs, ...scratch }
    const saved = operation.saved?.filter((name) => name in all) ?? []
    const combination = saved.join()
    let name = registered.get(combination)
    if (!name) {
      name = registered.size ? `${operation.name} ${combination}` : operation.name
      registered.set(combination, name)
      register(operation, name, saved)
    }
    const output = tf.engine().runKernel<tf.Tensor>(name, all as never, attributes as never)
    tf.dispose(scratch)
    return output
  }
}

function register<Attributes extends object>(operation: FusedOperation<Attributes>, kernelName: string, saved: string[]): void {
  tf.registerKernel({
    kernelName,
    backendName: 'webgpu',
    kernelFunc: ({ inputs, attrs }) => {
      const run = runner()
      const tensors = inputs as unknown as tf.NamedTensorMap
      const attributes = attrs as unknown as Attributes
      const output = run.allocate(operation.shape(tensors, attributes))
      operation.forward(run, output, tensors, attributes)
      return output
    }
  })
  const { gradient } = operation
  if (!gradient) return
  tf.registerGradient({
    kernelName,
    inputsToSave: saved,
    gradFunc: (dy, kept, attrs) => {
      const tensors = Object.fromEntries(saved.map((name, at) => [name, kept[at] as tf.Tensor]))
      return gradient(runner(), dy as tf.Tensor, tensors, attrs as unknown as Attributes)
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
