// GPT-NeoX (Black 2022) and Pythia (Biderman 2023): rotary on a part of each head, attention and feed-forward side by side.
import * as v from 'valibot'
import type { DecoderConfig } from '../config'
import { count, layerCount, positive, readFields, readGelu, readRope, readTokens, ropeFields, tokenFields } from '../configFields'
import type { DecoderLayout, Projection } from '../layout'

const entries = {
  ...tokenFields,
  ...ropeFields,
  hidden_size: count,
  num_hidden_layers: layerCount,
  num_attention_heads: count,
  intermediate_size: count,
  vocab_size: count,
  max_position_embeddings: count,
  layer_norm_eps: v.optional(positive, 1e-5),
  hidden_act: v.optional(v.string(), 'gelu'),
  /** Older names of the rotary options. */
  rotary_pct: v.nullish(positive),
  rotary_emb_base: v.nullish(positive),
  use_parallel_residual: v.optional(v.boolean(), true),
  attention_bias: v.optional(v.boolean(), true),
  tie_word_embeddings: v.optional(v.boolean(), false)
}

export function readGptNeox(json: unknown): { config: DecoderConfig; layout: DecoderLayout } {
  const fields = readFields(json, entries)
  const { theta, partial, scaling } = readRope({
    ...fields,
    rope_theta: fields.rope_theta ?? fields.rotary_emb_base,
    partial_rotary_factor: fields.partial_rotary_factor ?? fields.rotary_pct ?? 0.25
  })
  const heads = fields.num_attention_heads
  const headSize = fields.hidden_size / heads
  const config: DecoderConfig = {
    architecture: 'gpt_neox',
    hiddenSize: fields.hidden_size,
    layers: fields.num_hidden_layers,
    heads,
    keyValueHeads: heads,
    headSize,
    intermediateSize: fields.intermediate_size,
    vocabularySize: fields.vocab_size,
    maximumPositions: fields.max_position_embeddings,
    norm: 'layerNorm',
    normEpsilon: fields.layer_norm_eps,
    mlp: readGelu('hidden_act', fields.hidden_act),
    rotary: { theta, dimensions: Math.trunc(headSize * partial), ...(scaling ? { scaling } : {}) },
    parallelResidual: fields.use_parallel_residual,
    attentionScale: 1 / Math.sqrt(headSize),
    attentionWindows: Array.from({ length: fields.num_hidden_layers }, () => undefined),
    tiedEmbeddings: fields.tie_word_embeddings,
    ...readTokens(fields)
  }
  return { config, layout: layoutOf(config, fields.attention_bias) }
}

function layoutOf({ hiddenSize, intermediateSize, layers, tiedEmbeddings }: DecoderConfig, attentionBias: boolean): DecoderLayout {
  const projection = (path: string, inputs: number, outputs: number, bias = true): Projection => ({
    path,
    inputs,
    outputs,
    bias,
    layout: 'outIn'
  })
  return {
    prefix: 'gpt_neox.',
    embedding: 'gpt_neox.embed_in.weight',
    head: tiedEmbeddings ? 'gpt_neox.embed_in.weight' : 'embed_out.weight',
    finalNorm: 'gpt_neox.final_layer_norm',
    layers: Array.from({ length: layers }, (_, index) => {
      const at = `gpt_neox.layers.${index}`
      return {
        attentionNorm: `${at}.input_layernorm`,
        mlpNorm: `${at}.post_attention_layernorm`,
        attention: {
          kind: 'fused',
          order: 'heads',
          projection: projection(`${at}.attention.query_key_value`, hiddenSize, 3 * hiddenSize, attentionBias)
        },
        output: projection(`${at}.attention.dense`, hiddenSize, hiddenSize, attentionBias),
        up: projection(`${at}.mlp.dense_h_to_4h`, hiddenSize, intermediateSize),
        down: projection(`${at}.mlp.dense_4h_to_h`, intermediateSize, hiddenSize)
      }
    })
  }
}
