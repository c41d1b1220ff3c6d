// What a decoder-only transformer looks like, whichever family it comes from: the one shape that the forward pass reads.
export type NormKind = 'rmsNorm' | 'layerNorm'
export type MlpKind = 'swiglu' | 'geluErf' | 'geluTanh'

/** Decoder options, read from a Hugging Face config.json by `architectures.ts`. Sizes are counts, not bytes. */
export interface DecoderConfig {
  /** `model_type` of config.json. */
  architecture: string
  hiddenSize: number
  layers: number
  heads: number
  /** Fewer than `heads` where groups of query heads share one key and value head (GQA, Ainslie 2023). */
  keyValueHeads: number
  headSize: number
  intermediateSize: number
  vocabularySize: number
  /** Longest sequence the model was made for, virtual tokens included. */
  maximumPositions: number
  norm: NormKind
  normEpsilon: number
  mlp: MlpKind
  /** Rotary embedding (Su 2021) of the first `dimensions` of each head; absent where positions are learned vectors. */
  rotary?: { theta: number; dimensions: number; scaling?: Llama3RopeScaling }
  /** True where attention and MLP read the same input and are added together (GPT-NeoX). */
  parallelResidual: boolean
  /** Attention scores are multiplied by this: `1 / sqrt(headSize)`, or 1 for GPT-Neo. */
  attentionScale: number
  /** By layer: how many tokens back a query sees, itself included; undefined is all of them. */
  attentionWindows: (number | undefined)[]
  /** True where the output projection is the embedding matrix itself. */
  tiedEmbeddings: boolean
  beginToken?: number
  endTokens: number[]
  padToken: number
}

/** Frequency scaling of Llama 3.1 (`rope_type: "llama3"`). */
export interface Llama3RopeScaling {
  factor: number
  lowFrequencyFactor: number
  highFrequencyFactor: number
  originalMaximumPositions: number
}
