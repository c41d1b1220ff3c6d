// The recipe that a method gets where nobody chose another.
import type { OptionValues } from '../methods/method'
import { getMethod, optionsOf } from '../methods/registry'
import type { Recipe } from './recipe'

/**
 * One method with the options given and its own learning rate and weight decay from the registry; batch 16, clipping at 1, ten warm-up steps,
 * then linear to zero: the recipe of the PyTorch reference. Throws a `UserError` where an option is wrong.
 */
export function defaultRecipe(methodId: string, seed: number, options: OptionValues = {}): Recipe {
  const method = getMethod(methodId)
  const { learningRate, weightDecay } = method.defaults
  return {
    parts: [{ method: methodId, options: optionsOf(method, options), learningRate, weightDecay }],
    schedule: { kind: 'linear', warmupSteps: 10 },
    optimiser: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, clipNorm: 1 },
    batchSize: 16,
    maximumLength: 256,
    seed
  }
}
