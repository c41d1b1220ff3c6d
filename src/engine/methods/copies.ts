// Methods that train weights of the base itself: copies of them, put in their place, and their shapes.
import { weightShapes } from '../model/layout'
import type { Adaptation, BaseShape, MethodContext, NamedTensors } from './method'

/** A copy of each weight with a buffer of its own, by Hugging Face name. */
export const copiesOf = (names: readonly string[], { copyOf }: MethodContext): NamedTensors =>
  Object.fromEntries(names.map((name) => [name, copyOf(name)]))

/** Each trained tensor in place of the weight of the same name. */
export const replacing = (parameters: NamedTensors): Adaptation => ({ weight: (name) => parameters[name] })

/** The shapes of these weights, by name. */
export function shapesOf(names: readonly string[], { config, layout }: BaseShape): Record<string, readonly number[]> {
  const shapes = weightShapes(config, layout)
  return Object.fromEntries(names.map((name) => [name, shapes[name]!]))
}
