// Several methods at once: the union of their adaptations, and the trained tensors of a recipe as one adaptation.
import * as tf from '@tensorflow/tfjs'
import { addLowRank } from '../kernels/lowRank'
import type { DecoderConfig } from '../model/config'
import type { RecipePart } from '../training/recipe'
import type { Adaptation, NamedTensors, TrainingPass } from './method'
import { getMethod, optionsOf } from './registry'

/**
 * The union of several adaptations: virtual tokens and key-value prefixes one after another in order, low ranks and linear hooks one on the result of
 * the other, a weight from the first part that has it, and label scores from the first that gives some. Hooks that no part has stay undefined, so that the
 * model can skip them. Read its fields inside a `tf.tidy` only: joined tensors are made when they are read.
 */
export function combineAdaptations(parts: readonly Adaptation[]): Adaptation {
  if (parts.length === 1) return parts[0]!
  const combined: Adaptation = {}
  if (parts.some((part) => part.virtualTokens)) {
    // A getter, so that the result is made within the forward pass: on its tape, and freed with it.
    Object.defineProperty(combined, 'virtualTokens', {
      enumerable: true,
      get: () => concatenate(parts.flatMap((part) => part.virtualTokens ?? []))
    })
  }
  if (parts.some((part) => part.keyValues)) {
    combined.keyValues = (layer) => {
      const prefixes = parts.flatMap((part) => part.keyValues?.(layer) ?? [])
      if (prefixes.length === 0) return undefined
      return { key: concatenate(prefixes.map((prefix) => prefix.key)), value: concatenate(prefixes.map((prefix) => prefix.value)) }
    }
  }
  if (parts.some((part) => part.linearInput)) {
    combined.linearInput = (path, x) => parts.reduce((input, part) => part.linearInput?.(path, input) ?? input, x)
  }
  // The model adds a low rank before any hook; behind the first hook, or behind another low rank, it is a hook itself.
  const told = parts.find((part) => part.lowRank ?? part.linear)
  if (told?.lowRank) combined.lowRank = (path) => told.lowRank!(path)
  if (parts.some((part) => part.linear ?? (part.lowRank && part !== told))) {
    combined.linear = (path, x, y) =>
      parts.reduce((output, part) => {
        const lowRank = part === told ? undefined : part.lowRank?.(path)
        const added = lowRank ? addLowRank(x, output, lowRank) : output
        return part.linear?.(path, x, added) ?? added
      }, y)
  }
  if (parts.some((part) => part.weight)) {
    combined.weight = (name) => {
      for (const part of parts) {
        const weight = part.weight?.(name)
        if (weight) return weight
      }
      return undefined
    }
  }
  const head = parts.find((part) => part.labelScores)
  if (head) combined.labelScores = (hidden) => head.labelScores!(hidden)
  return combined
}

/**
 * Where the trained tensors of a recipe enter the forward pass. `parameters` are those of all its parts: no two parts train a tensor of the same
 * name. `training` is given in a training step and nowhere else. Runs inside the tape.
 */
export function adaptationOf(
  parts: readonly RecipePart[],
  parameters: NamedTensors,
  config: DecoderConfig,
  training?: TrainingPass
): Adaptation {
  return combineAdaptations(
    parts.map((part) => {
      const method = getMethod(part.method)
      return method.adaptation(parameters, config, optionsOf(method, part.options), training)
    })
  )
}

function concatenate(tensors: readonly tf.Tensor2D[]): tf.Tensor2D {
  return tensors.length === 1 ? tensors[0]! : tf.concat([...tensors], 0)
}
