// Llama (Touvron 2023) and Qwen2 (Yang 2024), which differ in their biases alone.
import * as v from 'valibot'
import type { DecoderConfig } from '../config'
import { count, layerCount, positive, readFields, readRope, readTokens, refuse, ropeFields, tokenFields } from '../configFields'
import type { DecoderLayout, Projection } from '../layout'

const entries = {
  ...tokenFields,
  ...ropeFields,
  hidden_size: count,
  num_hidden_layers: layerCount,
  num_attention_heads: count,
  num_key_value_heads: v.nullish(count),
  head_dim: v.nullish(count),
  intermediate_size: count,
  vocab_size: count,
  max_position_embeddings: count,
  rms_norm_eps: v.optional(positive, 1e-6),
  hidden_act: v.optional(v.string(), 'silu'),
  tie_word_embeddings: v.optional(v.boolean(), false),
  attention_bias: v.optional(v.boolean(), false),
  mlp_bias: v.optional(v.boolean(), false)
}

/** Biases of query, key and value; of the output; of the feed-forward layer. */
interface Biases {
  attention: boolean
  output: boolean
  mlp: boolean
}

export function readLlama(json: unknown): { config: DecoderConfig; layout: DecoderLayout } {
  return read(json, (fields) => ({ attention: fields.attention_bias, output: fields.attention_bias, mlp: fields.mlp_bias }))
}

/** Query, key and value always have biases, nothing else has. */
export function readQwen2(json: unknown): { config: DecoderConfig; layout: DecoderLayout } {
  return read(json, (fields) => {
    refuse(fields, 'use_sliding_window', (value) => value == null || value === false)
    return { attention: true, output: false, mlp: false }
  })
}

type Fields = ReturnType<typeof readFields<typeof entries>>

function read(json: unknown, biasesOf: (fields: Fields) => Biases): { config: DecoderConfig; layout: DecoderLayout } {
  const fields = readFields(json, entries)
  refuse(fields, 'hidden_act', (value) => value === 'silu' || value === 'swish')
  refuse(fields, 'layer_types', (types) => types == null || (Array.isArray(types) && types.every((type) => type === 'full_attention')))
  const { theta, partial, scaling } = readRope(fields)
  refuse({ partial_rotary_factor: partial }, 'partial_rotary_factor', (value) => value === 1)
  const biases = biasesOf(fields)
  const heads = fields.num_attention_heads
  const headSize = fields.head_dim ?? fields.hidden_size / heads
  const config: DecoderConfig = {
    architecture: (json as { model_type: string }).model_type,
    hiddenSize: fields.hidden_size,
    layers: fields.num_hidden_layers,
    heads,
    keyValueHeads: fields.num_key_value_heads ?? heads,
    headSize,
    intermediateSize: fields.intermediate_size,
    vocabularySize: fields.vocab_size,
    maximumPositions: fields.max_position_embeddings,
    norm: 'rmsNorm',
    normEpsilon: fields.rms_norm_eps,
    mlp: 'swiglu',
    rotary: { theta, dimensions: headSize, ...(scaling ? { scaling } : {}) },
    parallelResidual: false,
    attentionScale: 1 / Math.sqrt(headSize),
    attentionWindows: Array.from({ length: fields.num_hidden_layers }, () => undefined),
    tiedEmbeddings: fields.tie_word_embeddings,
    ...readTokens(fields)
  }
  return { config, layout: layoutOf(config, biases) }
}

function layoutOf(config: DecoderConfig, biases: Biases): DecoderLayout {
  const { hiddenSize, intermediateSize, heads, keyValueHeads, headSize } = config
  const projection = (path: string, inputs: number, outputs: number, bias: boolean): Projection => ({
    path,
    inputs,
    outputs,
    bias,
    layout: 'outIn'
  })
  return {
    prefix: 'model.',
    embedding: 'model.embed_tokens.weight',
    head: config.tiedEmbeddings ? 'model.embed_tokens.weight' : 'lm_head.weight',
    finalNorm: 'model.norm',
    layers: Array.from({ length: config.layers }, (_, index) => {
      const at = `model.layers.${index}`
      return {
        attentionNorm: `${at}.input_layernorm`,
        mlpNorm: `${at}.post_attention_layernorm`,
        attention: {
          kind: 'separate',
          query: projection(`${at}.self_attn.q_proj`, hiddenSize, heads * headSize, biases.attention),
          key: projection(`${at}.self_attn.k_proj`, hiddenSize, keyValueHeads * headSize, biases.attention),
          value: projection(`${at}.self_attn.v_proj`, hiddenSize, keyValueHeads * headSize, biases.attention)
        },
        output: projection(`${at}.self_attn.o_proj`, heads * headSize, hiddenSize, biases.output),
        gate: projection(`${at}.mlp.gate_proj`, hiddenSize, intermediateSize, biases.mlp),
        up: projection(`${at}.mlp.up_proj`, hiddenSize, intermediateSize, biases.mlp),
        down: projection(`${at}.mlp.down_proj`, intermediateSize, hiddenSize, biases.mlp)
      }
    })
  }
}
