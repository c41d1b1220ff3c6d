// The training steps that are timed: a model of random weights, a batch of random tokens, and what is trained.
import { Trainer } from '../src/engine/training/trainer'
import { defaultRecipe } from '../src/engine/training/defaultRecipe'
import { weightsOfArrays } from '../src/engine/formats/weightSource'
import { createDecoder } from '../src/engine/model/createDecoder'
import type { MemoryMeter } from '../src/engine/device/memory'
import type { Decoder } from '../src/engine/model/decoder'
import type { Batch } from '../src/engine/model/batch'
import { Random } from '../src/engine/random'
import type { LlamaShape, StepSpec } from './types'

export function makeDecoder({ vocabulary, hidden, layers, heads, intermediate }: LlamaShape): Promise<Decoder> {
  const random = new Random(1)
  const tensors: Record<string, { data: Float32Array; shape: number[] }> = {}
  const add = (name: string, shape: number[], around = 0): void => {
    const size = shape.reduce((product, side) => product * side, 1)
    const data = new Float32Array(size)
    for (let at = 0; at < size; at++) data[at] = around + 0.04 * (random.uniform() - 0.5)
    tensors[name] = { shape, data }
  }
  add('model.embed_tokens.weight', [vocabulary, hidden])
  for (let layer = 0; layer < layers; layer++) {
    const path = `model.layers.${layer}.`
    add(`${path}input_layernorm.weight`, [hidden], 1)
    add(`${path}post_attention_layernorm.weight`, [hidden], 1)
    for (const projection of ['q', 'k', 'v', 'o']) add(`${path}self_attn.${projection}_proj.weight`, [hidden, hidden])
    for (const projection of ['gate', 'up']) add(`${path}mlp.${projection}_proj.weight`, [intermediate, hidden])
    add(`${path}mlp.down_proj.weight`, [hidden, intermediate])
  }
  add('model.norm.weight', [hidden], 1)
  const config = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_act: 'silu',
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: heads,
    max_position_embeddings: 1024,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    tie_word_embeddings: true,
    vocab_size: vocabulary,
    bos_token_id: 0,
    eos_token_id: 0,
    pad_token_id: 1
  }
  return createDecoder(config, weightsOfArrays(tensors))
}

/** Rows as long as `time`, or of a random length between half of it and all. */
export function makeBatch({ shape, batch: size, time, labels, lengths: wanted }: StepSpec): Batch {
  const random = new Random(2)
  const lengths = Int32Array.from({ length: size }, () => (wanted === 'whole' ? time : Math.floor(time * (0.5 + random.uniform() / 2))))
  const inputIds = Int32Array.from({ length: size * time }, () => Math.floor(random.uniform() * shape.vocabulary))
  const labelRows: number[] = []
  lengths.forEach((length, row) => {
    const first = labels === 'all' ? 0 : length - 1
    for (let position = first; position < length; position++) labelRows.push(row * time + position)
  })
  return {
    size,
    time,
    inputIds,
    lengths,
    labelRows: Int32Array.from(labelRows),
    labelIds: Int32Array.from(labelRows, () => Math.floor(random.uniform() * shape.vocabulary)),
    labelWeights: new Float32Array(labelRows.length).fill(1 / labelRows.length)
  }
}

export async function makeTrainer(step: StepSpec, decoder: Decoder, memory?: MemoryMeter): Promise<Trainer> {
  const options = step.options ?? (step.method === 'softPrompt' ? { virtualTokens: 8, start: 'random' } : {})
  const recipe = defaultRecipe(step.method, 3, options)
  const budget = { kind: 'steps', steps: 1000 } as const
  return Trainer.create({ decoder, recipe, budget, encode: () => [2, 3, 4], labelWords: ['yes', 'no'], ...(memory && { memory }) })
}
