// Random first values of trained tensors, as PyTorch's layers begin.
import type { MethodContext, NamedTensors } from './method'

/** Normal numbers of that standard deviation. */
export function normalTensor({ tensor, random }: MethodContext, shape: number[], deviation: number): NamedTensors[string] {
  return tensor(
    filled(shape, () => deviation * random.normal()),
    shape
  )
}

/** Numbers spread evenly over `[-bound, bound)`. */
export function uniformTensor({ tensor, random }: MethodContext, shape: number[], bound: number): NamedTensors[string] {
  return tensor(
    filled(shape, () => bound * (2 * random.uniform() - 1)),
    shape
  )
}

/** `<path>.weight` `[outputs, inputs]` and `<path>.bias` of a new linear layer, both within `1 / sqrt(inputs)` (He 2015, as PyTorch reads it). */
export function linearLayer(context: MethodContext, path: string, inputs: number, outputs: number): NamedTensors {
  const bound = 1 / Math.sqrt(inputs)
  return {
    [`${path}.weight`]: uniformTensor(context, [outputs, inputs], bound),
    [`${path}.bias`]: uniformTensor(context, [outputs], bound)
  }
}

/** Shapes of the tensors of `linearLayer`. */
export const linearLayerShapes = (path: string, inputs: number, outputs: number): Record<string, number[]> => ({
  [`${path}.weight`]: [outputs, inputs],
  [`${path}.bias`]: [outputs]
})

function filled(shape: readonly number[], next: () => number): Float32Array {
  return Float32Array.from({ length: shape.reduce((product, size) => product * size, 1) }, next)
}
