// Methods that train weights of the base itself: copies of them, put in their place, and how many numbers they are.
import { weightShapes } from '../model/layout'
import type { Adaptation, BaseShape, MethodContext, NamedTensors } from './method'

/** A copy of each weight with a buffer of its own, by Hugging Face name. */
export const copiesOf = (names: readonly string[], { weight }: MethodContext): NamedTensors =>
  // Times one, because `clone` would share the base's buffer.
  Object.fromEntries(names.map((name) => [name, weight(name).mul(1)]))

/** Each trained tensor in place of the weight of the same name. */
export const replacing = (parameters: NamedTensors): Adaptation => ({ weight: (name) => parameters[name] })

/** How many numbers these weights are. */
export function numbersOf(names: readonly string[], { config, layout }: BaseShape): number {
  const shapes = weightShapes(config, layout)
  return names.reduce((sum, name) => sum + shapes[name]!.reduce((product, size) => product * size, 1), 0)
}
