// Trained tensors of a stored run as an adaptation of the base: what evaluation, answers and generation use.
import * as tf from '@tensorflow/tfjs'
import type { DecoderConfig } from '../model/config'
import { withoutMoments, type StoredTensors } from '../training/checkpoint'
import type { RecipePart } from '../training/recipe'
import { adaptationOf } from './combine'
import type { Adaptation, NamedTensors } from './method'

export interface Tuned {
  adaptation: Adaptation
  /** Frees the tensors; the adaptation must not be used after that. */
  dispose(): void
}

/** Puts trained tensors on the device. Optimiser moments among them are left out. */
export function tunedAdaptation(parts: readonly RecipePart[], tensors: StoredTensors, config: DecoderConfig): Tuned {
  const parameters: NamedTensors = {}
  for (const [name, { shape, data }] of Object.entries(withoutMoments(tensors))) parameters[name] = tf.tensor(data, shape, 'float32')
  return { adaptation: adaptationOf(parts, parameters, config), dispose: () => tf.dispose(parameters) }
}
