// How many bytes of the device a run will need, from shapes alone: known before anything is loaded.
import type { StoredTensor } from '../formats/safetensors'
import { matrixBytes, type StoredDtype } from '../kernels/packings'
import type { BaseShape, TrainedOn } from '../methods/method'
import { packingFor, type Precision } from '../model/precision'
import { blockFloats } from './blockFloats'
import { layersComputedAgain } from './computedAgain'
import {
  COMPOSED,
  elementsOf,
  FLOAT32_BYTES,
  logitsBytes,
  stepMemory,
  type BatchShape,
  type HeldBase,
  type MemoryEstimate,
  type MemoryRecipe
} from './stepMemory'

/** Bytes on the device of a model's frozen weights, and of the largest of them. Where operations are not `fused` all of them are float32. */
export function weightBytes(tensors: Iterable<StoredTensor>, precision: Precision, fused: boolean): HeldBase {
  let total = 0
  let largest = 0
  let parameters = 0
  for (const { dtype, shape } of tensors) {
    const [rows = 1, columns = 1] = shape
    const packing = shape.length === 2 && fused ? packingFor(precision, dtype as StoredDtype) : undefined
    const bytes = matrixBytes([rows, columns], packing)
    total += bytes
    largest = Math.max(largest, bytes)
    parameters += elementsOf(shape)
  }
  return { total, largest, parameters, fused }
}

/** The memory of one training step, within 15 % of what `MemoryMeter` measures on WebGPU (tests/engine/memoryEstimate.test.ts). */
export function estimateStep(recipe: MemoryRecipe, batch: BatchShape, on: TrainedOn, base: HeldBase): MemoryEstimate {
  return stepMemory(recipe, batch, on, base, layersComputedAgain(recipe, batch, on, base))
}

/** The memory that an evaluation needs beside weights and runs: it keeps nothing for gradients, and its batches are larger than a training step's. */
export function evaluationBytes(batches: readonly BatchShape[], { config, layout }: BaseShape, virtual: number, fused: boolean): number {
  return batches.reduce((most, { size, time, labelRows }) => {
    const rows = virtual + size * time
    const largest = layout.layers.reduce((floats, layer) => {
      const { attention, queries, mlp } = blockFloats(config, layer, new Map(), false)
      return Math.max(floats, attention.all + queries.all + mlp.all)
    }, 0)
    const bytes = FLOAT32_BYTES * rows * (largest + config.hiddenSize) + logitsBytes(labelRows, config)
    return Math.max(most, (fused ? 1 : COMPOSED.activations) * bytes)
  }, 0)
}
