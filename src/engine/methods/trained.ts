// What a recipe trains, known before anything is loaded: names, shapes and how many numbers.
import type { RecipePart } from '../training/recipe'
import type { TrainedOn } from './method'
import { getMethod, optionsOf } from './registry'

type ChosenMethod = Pick<RecipePart, 'method' | 'options'>

/** Shapes of the tensors that one part trains, by name. Throws a `UserError` where the method or an option is wrong. */
export function shapesOfPart({ method: id, options }: ChosenMethod, on: TrainedOn): Record<string, readonly number[]> {
  const method = getMethod(id)
  return method.trainedShapes(on, optionsOf(method, options))
}

/** Shapes of all that the parts train, by name. */
export function trainedShapes(parts: readonly ChosenMethod[], on: TrainedOn): Record<string, readonly number[]> {
  return Object.assign({}, ...parts.map((part) => shapesOfPart(part, on))) as Record<string, readonly number[]>
}

/** How many numbers the parts train. */
export function trainableParameters(parts: readonly ChosenMethod[], on: TrainedOn): number {
  const shapes = Object.values(trainedShapes(parts, on))
  return shapes.reduce((sum, shape) => sum + shape.reduce((product, side) => product * side, 1), 0)
}
