// How much arithmetic a training step is: what its time is foretold from.
import type { TrainedOn } from '../methods/method'
import { getMethod } from '../methods/registry'
import { trainedShapes } from '../methods/trained'
import { layerProjections } from '../model/layout'
import { forwardWork } from './eta'
import { virtualTokens, type BatchShape, type MemoryRecipe } from './stepMemory'

/**
 * Multiply-adds of one step: the forward pass with its attention scores, once more for the gradients of what each product reads from the first layer on
 * that anything trained stands in front of, and once more for each product whose weight is trained.
 */
export function stepWork(recipe: MemoryRecipe, batch: BatchShape, on: TrainedOn): number {
  const { config, layout } = on
  const names = Object.keys(trainedShapes(recipe.parts, on))
  if (recipe.parts.every(({ method }) => getMethod(method).readsFeatures || !getMethod(method).trains)) return 0
  const virtual = virtualTokens(recipe, on)
  // Virtual tokens are the same in every row, and computed once.
  const tokens = virtual + batch.size * batch.time
  // Causal: a token sees half of the others on average, in two products.
  const scores = tokens * (virtual + batch.time) * config.heads * config.headSize * config.layers
  const forward = forwardWork(config, tokens, batch.labelRows) + scores
  const head = batch.labelRows * config.vocabularySize * config.hiddenSize
  const first = firstTrainedLayer(names, on)
  const above = (config.layers - first) / config.layers
  const trained = new Set(names)
  const weights = layout.layers
    .flatMap(layerProjections)
    .filter(({ path }) => trained.has(`${path}.weight`))
    .reduce((sum, { inputs, outputs }) => sum + tokens * inputs * outputs, 0)
  const back = above * (forward - head) + head + weights + above * scores + (trained.has(layout.head) ? head : 0)
  return forward + back + (recipe.gradientCheckpointing ? above * (forward - head) : 0)
}

/** The lowest layer through which gradients go: 0 where what is trained lies in front of all of them. */
function firstTrainedLayer(names: readonly string[], { layout }: TrainedOn): number {
  const owners = names.map((name) =>
    layout.layers.findIndex(({ attentionNorm }) => name.startsWith(attentionNorm.slice(0, attentionNorm.lastIndexOf('.') + 1)))
  )
  const outside = names.some(
    (name, at) => owners[at] === -1 && !name.startsWith(layout.finalNorm) && (name !== layout.head || layout.head === layout.embedding)
  )
  return outside ? 0 : Math.min(layout.layers.length, ...owners.filter((owner) => owner >= 0))
}
