// The recipe that a method, or several together, get where nobody chose another.
import type { OptionValues } from '../methods/method'
import { getMethod, optionsOf } from '../methods/registry'
import type { Recipe, RecipePart } from './recipe'

/** A method with the options given and its own learning rate and weight decay from the registry. Throws a `UserError` where an option is wrong. */
export function defaultPart(methodId: string, options: OptionValues = {}): RecipePart {
  const method = getMethod(methodId)
  const { learningRate, weightDecay } = method.defaults
  return { method: methodId, options: optionsOf(method, options), learningRate, weightDecay }
}

/** One after the other: each part is trained for an equal share of the budget, in this order, and stays as it then is. */
export function inStages(parts: readonly RecipePart[]): RecipePart[] {
  return parts.map((part, i) => ({ ...part, window: { from: i / parts.length, to: (i + 1) / parts.length } }))
}

/** Batch 16, clipping at 1, ten warm-up steps, then linear to zero: the recipe of the PyTorch reference, for any set of parts. */
export function recipeOf(parts: RecipePart[], seed: number): Recipe {
  return {
    parts,
    schedule: { kind: 'linear', warmupSteps: 10 },
    optimiser: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, clipNorm: 1 },
    batchSize: 16,
    maximumLength: 256,
    seed
  }
}

/** The recipe of one method, or of several at once with their default options. Throws a `UserError` where a method or an option is wrong. */
export function defaultRecipe(methodIds: string | readonly string[], seed: number, options: OptionValues = {}): Recipe {
  const parts = typeof methodIds === 'string' ? [defaultPart(methodIds, options)] : methodIds.map((id) => defaultPart(id))
  return recipeOf(parts, seed)
}
