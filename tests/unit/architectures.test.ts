// What config.json and the checkpoint's names must hold, and what is said where they do not.
import { expect, test } from 'vitest'
import { readArchitecture } from '../../src/engine/model/architectures'
import { weightShapes } from '../../src/engine/model/layout'
import { rotaryFrequencies } from '../../src/engine/model/rotaryTable'
import { matchWeights } from '../../src/engine/model/weights'

const llama = {
  model_type: 'llama',
  hidden_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 48,
  vocab_size: 97,
  max_position_embeddings: 64,
  bos_token_id: 1,
  eos_token_id: [2, 3]
}

const gptNeox = {
  model_type: 'gpt_neox',
  hidden_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  intermediate_size: 128,
  vocab_size: 97,
  max_position_embeddings: 64
}

test('Llama: sizes, tokens, and Hugging Face defaults where fields are absent', () => {
  const { config, layout } = readArchitecture(llama)
  expect(config).toMatchObject({
    headSize: 8,
    keyValueHeads: 2,
    normEpsilon: 1e-6,
    tiedEmbeddings: false,
    beginToken: 1,
    endTokens: [2, 3],
    padToken: 2,
    rotary: { theta: 10000, dimensions: 8 },
    attentionScale: 1 / Math.sqrt(8)
  })
  expect(layout.head).toBe('lm_head.weight')
  expect(readArchitecture({ ...llama, num_key_value_heads: undefined }).config.keyValueHeads).toBe(4)
  const wide = readArchitecture({ ...llama, head_dim: 16, attention_bias: true, tie_word_embeddings: true })
  const shapes = weightShapes(wide.config, wide.layout)
  expect(shapes['model.layers.1.self_attn.q_proj.weight']).toEqual([64, 32])
  expect(shapes['model.layers.1.self_attn.k_proj.bias']).toEqual([32])
  expect(shapes['model.layers.1.self_attn.o_proj.bias']).toEqual([32])
  expect(shapes).not.toHaveProperty('model.layers.1.mlp.up_proj.bias')
  expect(shapes).not.toHaveProperty('lm_head.weight')
})

test('rotary options in their old and new places', () => {
  const theta = (fields: object): number | undefined => readArchitecture({ ...llama, ...fields }).config.rotary?.theta
  expect(theta({ rope_theta: 500000, rope_scaling: null })).toBe(500000)
  expect(theta({ rope_parameters: { rope_theta: 1e6, rope_type: 'default' } })).toBe(1e6)
  const neox = (fields: object) => readArchitecture({ ...gptNeox, ...fields }).config.rotary
  expect(neox({ rotary_pct: 0.5, rotary_emb_base: 20000 })).toEqual({ theta: 20000, dimensions: 4 })
  expect(neox({ rope_parameters: { rope_theta: 10000, partial_rotary_factor: 1, rope_type: 'default' } })).toEqual({
    theta: 10000,
    dimensions: 8
  })
})

test('frequencies are scaled as in Llama 3.1: high ones stay, low ones are divided, those between are mixed', () => {
  const rope_scaling = {
    rope_type: 'llama3',
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192
  }
  const { rotary } = readArchitecture({ ...llama, head_dim: 16, rope_theta: 500000, rope_scaling }).config
  const expected = [1.0, 0.1939227447, 0.03760603093, 0.007292664737, 0.000524846161, 3.428102196e-5, 6.647869871e-6, 1.289173172e-6]
  rotaryFrequencies(rotary!).forEach((frequency, pair) => expect(frequency / expected[pair]!, `pair ${pair}`).toBeCloseTo(1, 6))
})

test.each([
  ['hidden_act', { hidden_act: 'gelu' }],
  ['rope_scaling.rope_type', { rope_scaling: { type: 'linear', factor: 2 } }],
  ['rope_parameters.rope_type', { rope_parameters: { rope_type: 'yarn' } }],
  ['partial_rotary_factor', { partial_rotary_factor: 0.5 }],
  ['quantization_config', { quantization_config: { bits: 4 } }],
  ['layer_types', { layer_types: ['full_attention', 'sliding_attention'] }],
  ['use_sliding_window', { model_type: 'qwen2', use_sliding_window: true }],
  ['num_key_value_heads', { num_key_value_heads: 3 }],
  ['hidden size', { num_attention_heads: 5, num_key_value_heads: 5 }],
  ['num_hidden_layers', { num_hidden_layers: undefined }],
  ['vocab_size', { vocab_size: '97' }],
  ['rms_norm_eps', { rms_norm_eps: 0 }],
  ['special token', { eos_token_id: 97 }],
  ['"mistral"', { model_type: 'mistral' }],
  ['"__proto__"', { model_type: '__proto__' }]
])('what is not supported or wrong is named: %s', (name, fields) => {
  expect(() => readArchitecture({ ...llama, ...fields })).toThrow(
    expect.objectContaining({ name: 'UserError', message: expect.stringContaining(name) as string })
  )
})

test('layers of GPT-Neo that their runs do not add up to are refused', () => {
  const neo = { ...gptNeox, model_type: 'gpt_neo', num_layers: 4, num_heads: 4, window_size: 6 }
  expect(readArchitecture({ ...neo, attention_types: [[['global', 'local'], 2]] }).config.attentionWindows).toEqual([
    undefined,
    6,
    undefined,
    6
  ])
  expect(() => readArchitecture({ ...neo, attention_types: [[['global'], 3]] })).toThrow(/attention_types/)
})

test.each([null, 'llama', [], {}])('config.json that is %o is refused in words', (json) => {
  expect(() => readArchitecture(json)).toThrow(expect.objectContaining({ name: 'UserError' }))
})

const { config, layout } = readArchitecture({ ...llama, tie_word_embeddings: true })

function checkpoint(): Map<string, { shape: readonly number[] }> {
  return new Map(Object.entries(weightShapes(config, layout)).map(([name, shape]) => [name, { shape }]))
}

test('names of the bare model, old buffers and a tied head that was saved all the same are accepted', () => {
  const bare = new Map([...checkpoint()].map(([name, tensor]) => [name.replace(/^model\./, ''), tensor]))
  bare.set('layers.0.self_attn.rotary_emb.inv_freq', { shape: [4] })
  bare.set('lm_head.weight', { shape: [97, 32] })
  expect([...matchWeights(config, layout, bare)]).toEqual([...checkpoint().keys()].map((name) => [name, name.replace(/^model\./, '')]))
})

test('missing, misshapen and unexplained weights are named', () => {
  const short = checkpoint()
  short.delete('model.norm.weight')
  expect(() => matchWeights(config, layout, short)).toThrow('lack model.norm.weight')
  const turned = checkpoint().set('model.layers.0.mlp.up_proj.weight', { shape: [32, 48] })
  expect(() => matchWeights(config, layout, turned)).toThrow('model.layers.0.mlp.up_proj.weight is [32, 48], not [48, 32]')
  const more = checkpoint().set('model.layers.0.self_attn.q_norm.weight', { shape: [8] })
  expect(() => matchWeights(config, layout, more)).toThrow('does not explain: model.layers.0.self_attn.q_norm.weight')
  expect(() => matchWeights(config, layout, new Map())).toThrow(/and 15 more/)
})
