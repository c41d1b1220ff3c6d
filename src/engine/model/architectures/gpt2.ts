// GPT-2 (Radford 2019): learned positions, layer norms, one fused product for query, key and value.
import * as v from 'valibot'
import type { DecoderConfig } from '../config'
import { count, layerCount, positive, readFields, readGelu, readTokens, refuse, tokenFields } from '../configFields'
import type { DecoderLayout, Projection } from '../layout'

const entries = {
  ...tokenFields,
  n_embd: count,
  n_layer: layerCount,
  n_head: count,
  n_positions: count,
  n_inner: v.nullish(count),
  vocab_size: count,
  layer_norm_epsilon: v.optional(positive, 1e-5),
  activation_function: v.optional(v.string(), 'gelu_new'),
  scale_attn_weights: v.optional(v.boolean(), true),
  tie_word_embeddings: v.optional(v.boolean(), true)
}

export function readGpt2(json: unknown): { config: DecoderConfig; layout: DecoderLayout } {
  const fields = readFields(json, entries)
  refuse(fields, 'scale_attn_by_inverse_layer_idx', (value) => value == null || value === false)
  refuse(fields, 'add_cross_attention', (value) => value == null || value === false)
  const headSize = fields.n_embd / fields.n_head
  const config: DecoderConfig = {
    architecture: 'gpt2',
    hiddenSize: fields.n_embd,
    layers: fields.n_layer,
    heads: fields.n_head,
    keyValueHeads: fields.n_head,
    headSize,
    intermediateSize: fields.n_inner ?? 4 * fields.n_embd,
    vocabularySize: fields.vocab_size,
    maximumPositions: fields.n_positions,
    norm: 'layerNorm',
    normEpsilon: fields.layer_norm_epsilon,
    mlp: readGelu('activation_function', fields.activation_function),
    parallelResidual: false,
    attentionScale: fields.scale_attn_weights ? 1 / Math.sqrt(headSize) : 1,
    attentionWindows: Array.from({ length: fields.n_layer }, () => undefined),
    tiedEmbeddings: fields.tie_word_embeddings,
    ...readTokens(fields)
  }
  return { config, layout: layoutOf(config) }
}

function layoutOf({ hiddenSize, intermediateSize, layers, tiedEmbeddings }: DecoderConfig): DecoderLayout {
  const projection = (path: string, inputs: number, outputs: number): Projection => ({ path, inputs, outputs, bias: true, layout: 'inOut' })
  return {
    prefix: 'transformer.',
    embedding: 'transformer.wte.weight',
    head: tiedEmbeddings ? 'transformer.wte.weight' : 'lm_head.weight',
    positions: 'transformer.wpe.weight',
    finalNorm: 'transformer.ln_f',
    layers: Array.from({ length: layers }, (_, index) => {
      const at = `transformer.h.${index}`
      return {
        attentionNorm: `${at}.ln_1`,
        mlpNorm: `${at}.ln_2`,
        attention: { kind: 'fused', order: 'blocks', projection: projection(`${at}.attn.c_attn`, hiddenSize, 3 * hiddenSize) },
        output: projection(`${at}.attn.c_proj`, hiddenSize, hiddenSize),
        up: projection(`${at}.mlp.c_fc`, hiddenSize, intermediateSize),
        down: projection(`${at}.mlp.c_proj`, intermediateSize, hiddenSize)
      }
    })
  }
}
