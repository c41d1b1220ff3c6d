// Puts a fused operation on the TensorFlow.js tape: a kernel with a gradient, of which only what is asked for is computed.
import * as tf from '@tensorflow/tfjs'
import { runner, type Runner } from './run'

type Shape = readonly number[]

export interface FusedOperation<Attributes extends object> {
  name: string
  /** Names of the inputs that the gradient reads, saved in this order. */
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

/** Registers the operation for WebGPU and returns the function that calls it. Inputs that are undefined are left out. */
export function fused<Attributes extends object>(
  operation: FusedOperation<Attributes>
): (inputs: Record<string, tf.Tensor | undefined>, attributes: Attributes) => tf.Tensor {
  const { name, saved = [], gradient } = operation
  tf.registerKernel({
    kernelName: name,
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
  if (gradient) {
    tf.registerGradient({
      kernelName: name,
      inputsToSave: [...saved],
      gradFunc: (dy, kept, attrs) => {
        const tensors = Object.fromEntries(saved.map((input, at) => [input, kept[at] as tf.Tensor]))
        return gradient(runner(), dy as tf.Tensor, tensors, attrs as unknown as Attributes)
      }
    })
  }
  return (given, attributes) => {
    const inputs: tf.NamedTensorMap = {}
    for (const [input, tensor] of Object.entries(given)) if (tensor) inputs[input] = tensor
    const scratch = Object.entries(operation.scratch?.(inputs, attributes) ?? {}).map(([key, shape]) => [key, empty(shape)] as const)
    const output = tf.engine().runKernel<tf.Tensor>(name, { ...inputs, ...Object.fromEntries(scratch) } as never, attributes as never)
    for (const [, tensor] of scratch) tensor.dispose()
    return output
  }
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
