// The estimate of a step's memory against what the device then holds at its peak.
import { beforeAll, expect, test } from 'vitest'
import { MemoryMeter } from '../../src/engine/device/memory'
import type { Batch } from '../../src/engine/model/batch'
import type { Decoder } from '../../src/engine/model/decoder'
import { defaultRecipe } from '../../src/engine/training/defaultRecipe'
import { estimateStep } from '../../src/engine/training/memoryEstimate'
import type { Recipe } from '../../src/engine/training/recipe'
import { Trainer } from '../../src/engine/training/trainer'
import { useBackend } from './backend'
import { tinyDecoder, tinyLlama } from './tinyModel'

const tiny = { ...tinyLlama, max_position_embeddings: 128 }
/** The embedded model's shape. */
const embedded = {
  ...tiny,
  hidden_size: 128,
  num_hidden_layers: 4,
  num_key_value_heads: 4,
  head_dim: 32,
  intermediate_size: 384,
  vocab_size: 8192
}

const batchOf = (size: number, time: number): Batch => ({
  size,
  time,
  inputIds: Int32Array.from({ length: size * time }, (_, i) => (7 * i) % 50),
  lengths: new Int32Array(size).fill(time),
  labelRows: Int32Array.from({ length: size }, (_, row) => row * time + time - 1),
  labelIds: new Int32Array(size).fill(5),
  labelWeights: new Float32Array(size).fill(1 / size)
})

/** Bytes of the model, its run and one step: as estimated, over what was measured. */
async function ratio(decoder: Decoder, recipe: Recipe, size: number, time: number): Promise<number> {
  const meter = new MemoryMeter()
  const before = meter.bytes
  const trainer = await Trainer.create({ decoder, recipe, budget: { kind: 'steps', steps: 2 }, encode: () => [5], labelWords: ['a', 'b'] })
  meter.reset()
  await trainer.step(batchOf(size, time))
  await trainer.step(batchOf(size, time))
  const measured = decoder.bytes + meter.peak - before
  trainer.dispose()
  const held = { total: decoder.bytes, largest: 0, parameters: decoder.parameters, fused: true }
  return estimateStep(recipe, { size, time, labelRows: size }, { ...decoder, labels: 2 }, held).peak / measured
}

beforeAll(() => useBackend('webgpu'))

test.each([
  { name: 'tiny', config: tiny },
  { name: 'embedded', config: embedded }
])('a step of the $name llama is foretold within 15 percent', async ({ name, config }) => {
  const decoder = await tinyDecoder(config)
  for (const method of ['softPrompt', 'lora', 'allWeights', 'biases']) {
    for (const [size, time] of [
      [4, 32],
      [8, 48]
    ] as const) {
      const found = await ratio(decoder, defaultRecipe(method, 1), size, time)
      expect(Math.abs(found - 1), `${name} ${method} ${size} x ${time}: ${found}`).toBeLessThan(0.15)
    }
  }
  const spared = await ratio(decoder, { ...defaultRecipe('softPrompt', 1), gradientCheckpointing: true }, 8, 48)
  expect(Math.abs(spared - 1), `checkpointing: ${spared}`).toBeLessThan(0.15)
  decoder.dispose()
})
