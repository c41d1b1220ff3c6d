// How many layers of a step trade time for memory by themselves: few, and where few are enough.
import type { TrainedOn } from '../methods/method'
import { trainedShapes } from '../methods/trained'
import { FLOAT32_BYTES, stepMemory, type BatchShape, type HeldBase, type MemoryRecipe } from './stepMemory'

/**
 * A step may take so many times what a run of all weights holds between its steps: the weights, their tuned copies and both moments, in float32. Where it would
 * take more, what rises in the feed-forward of the first layers is computed again: a 50th of a step's time for each quarter of the layers. At most of half of
 * them, and of none where that is not enough: more is left to gradient checkpointing, which people ask for.
 */
const ALLOWED = { share: 1.4, heldNumbers: 4, layers: 0.5 }

/** How many first layers compute what rises in their feed-forward again, see `ALLOWED`. */
export function layersComputedAgain(recipe: MemoryRecipe, batch: BatchShape, on: TrainedOn, base: HeldBase): number {
  const isAdapted = Object.keys(trainedShapes(recipe.parts, on)).some((name) => name.endsWith('.lora_A.weight') || name.endsWith('.ia3_l'))
  if (!base.fused || recipe.gradientCheckpointing || isAdapted) return 0
  const allowed = ALLOWED.share * ALLOWED.heldNumbers * FLOAT32_BYTES * base.parameters
  const most = Math.floor(ALLOWED.layers * on.config.layers)
  for (let layers = 0; layers <= most; layers++) if (stepMemory(recipe, batch, on, base, layers).peak <= allowed) return layers
  return 0
}
