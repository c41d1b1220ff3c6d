// GPT-Neo (Black 2021) and TinyStories (Eldan 2023): learned positions, every other layer sees a local window, scores are not scaled.
import * as v from 'valibot'
import type { DecoderConfig } from '../config'
import { count, layerCount, positive, readFields, readGelu, readTokens, tokenFields, unsupported } from '../configFields'
import type { DecoderLayout, Projection } from '../layout'

const kind = v.picklist(['global', 'local'])

const entries = {
  ...tokenFields,
  hidden_size: count,
  num_layers: layerCount,
  num_heads: count,
  intermediate_size: v.nullish(count),
  vocab_size: count,
  max_position_embeddings: count,
  layer_norm_epsilon: v.optional(positive, 1e-5),
  activation_function: v.optional(v.string(), 'gelu_new'),
  window_size: v.optional(count, 256),
  /** Runs of layers: `[[["global", "local"], 12]]` is 24 layers in turn. */
  attention_types: v.array(v.tuple([v.array(kind), count])),
  tie_word_embeddings: v.optional(v.boolean(), true)
}

export function readGptNeo(json: unknown): { config: DecoderConfig; layout: DecoderLayout } {
  const fields = readFields(json, entries)
  const named = fields.attention_types.reduce((sum, [run, times]) => sum + run.length * times, 0)
  if (named !== fields.num_layers) throw unsupported('attention_types', fields.attention_types)
  const kinds = fields.attention_types.flatMap(([run, times]) => (run.length === 0 ? [] : Array.from({ length: times }, () => run).flat()))
  const config: DecoderConfig = {
    architecture: 'gpt_neo',
    hiddenSize: fields.hidden_size,
    layers: fields.num_layers,
    heads: fields.num_heads,
    keyValueHeads: fields.num_heads,
    headSize: fields.hidden_size / fields.num_heads,
    intermediateSize: fields.intermediate_size ?? 4 * fields.hidden_size,
    vocabularySize: fields.vocab_size,
    maximumPositions: fields.max_position_embeddings,
    norm: 'layerNorm',
    normEpsilon: fields.layer_norm_epsilon,
    mlp: readGelu('activation_function', fields.activation_function),
    parallelResidual: false,
    attentionScale: 1,
    attentionWindows: kinds.map((layer) => (layer === 'local' ? fields.window_size : undefined)),
    tiedEmbeddings: fields.tie_word_embeddings,
    ...readTokens(fields)
  }
  return { config, layout: layoutOf(config) }
}

function layoutOf({ hiddenSize, intermediateSize, layers, tiedEmbeddings }: DecoderConfig): DecoderLayout {
  const projection = (path: string, inputs: number, outputs: number, bias: boolean): Projection => ({
    path,
    inputs,
    outputs,
    bias,
    layout: 'outIn'
  })
  return {
    prefix: 'transformer.',
    embedding: 'transformer.wte.weight',
    head: tiedEmbeddings ? 'transformer.wte.weight' : 'lm_head.weight',
    positions: 'transformer.wpe.weight',
    finalNorm: 'transformer.ln_f',
    layers: Array.from({ length: layers }, (_, index) => {
      const at = `transformer.h.${index}`
      const attention = `${at}.attn.attention`
      return {
        attentionNorm: `${at}.ln_1`,
        mlpNorm: `${at}.ln_2`,
        attention: {
          kind: 'separate',
          query: projection(`${attention}.q_proj`, hiddenSize, hiddenSize, false),
          key: projection(`${attention}.k_proj`, hiddenSize, hiddenSize, false),
          value: projection(`${attention}.v_proj`, hiddenSize, hiddenSize, false)
        },
        output: projection(`${attention}.out_proj`, hiddenSize, hiddenSize, true),
        up: projection(`${at}.mlp.c_fc`, hiddenSize, intermediateSize, true),
        down: projection(`${at}.mlp.c_proj`, intermediateSize, hiddenSize, true)
      }
    })
  }
}
