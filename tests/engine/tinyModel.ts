// A small random decoder of any family, for tests that need no trained weights.
import { readArchitecture } from '../../src/engine/model/architectures'
import { weightsOfArrays } from '../../src/engine/formats/weightSource'
import type { Batch } from '../../src/engine/model/batch'
import { createDecoder } from '../../src/engine/model/createDecoder'
import type { Decoder } from '../../src/engine/model/decoder'
import { weightShapes } from '../../src/engine/model/layout'
import { Random } from '../../src/engine/random'

export const tinyLlama = {
  model_type: 'llama',
  hidden_size: 20,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 6,
  intermediate_size: 28,
  vocab_size: 50,
  max_position_embeddings: 64,
  tie_word_embeddings: true,
  eos_token_id: 2,
  pad_token_id: 1
}

export const tinyGptNeo = {
  model_type: 'gpt_neo',
  hidden_size: 20,
  num_layers: 2,
  num_heads: 2,
  vocab_size: 50,
  max_position_embeddings: 64,
  window_size: 5,
  attention_types: [[['global', 'local'], 1]],
  eos_token_id: 2
}

/** Repeatable weights: norms near one, the rest normal. */
export function randomWeights(config: unknown, seed = 1): Record<string, { shape: readonly number[]; data: Float32Array }> {
  const random = new Random(seed)
  const { config: read, layout } = readArchitecture(config)
  return Object.fromEntries(
    Object.entries(weightShapes(read, layout)).map(([name, shape]) => {
      const length = shape.reduce((product, side) => product * side, 1)
      const around = shape.length === 1 && name.endsWith('weight') ? 1 : 0
      return [name, { shape, data: Float32Array.from({ length }, () => around + 0.25 * random.normal()) }]
    })
  )
}

/** The decoder on the current backend; the caller disposes it. */
export function tinyDecoder(config: unknown, seed = 1): Promise<Decoder> {
  return createDecoder(config, weightsOfArrays(randomWeights(config, seed)))
}

/** Two texts of different lengths with a label at the end of each. */
export const twoTexts: Batch = {
  size: 2,
  time: 16,
  inputIds: Int32Array.from({ length: 32 }, (_, i) => i),
  lengths: Int32Array.of(16, 9),
  labelRows: Int32Array.of(15, 24),
  labelIds: Int32Array.of(5, 6),
  labelWeights: Float32Array.of(0.5, 0.5)
}
