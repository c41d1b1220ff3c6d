// Where a decoder finds each of its weights: Hugging Face names and layouts by role.
import type { WeightLayout } from '../kernels/linear'
import type { DecoderConfig } from './config'

/** A linear layer: `path.weight`, and `path.bias` where it has one. */
export interface Projection {
  /** Hugging Face module name, as adapters name it. */
  path: string
  inputs: number
  outputs: number
  layout: WeightLayout
  bias: boolean
}

/**
 * Query, key and value, apart or as one product. A fused result holds, along its columns, `blocks`: all queries, all keys, all values (GPT-2);
 * `heads`: query, key and value of the first head, then of the next (GPT-NeoX).
 */
export type AttentionProjections =
  | { kind: 'separate'; query: Projection; key: Projection; value: Projection }
  | { kind: 'fused'; projection: Projection; order: 'blocks' | 'heads' }

export interface LayerLayout {
  /** Module names of the norms. */
  attentionNorm: string
  mlpNorm: string
  attention: AttentionProjections
  output: Projection
  /** Only where the feed-forward layer is gated. */
  gate?: Projection
  up: Projection
  down: Projection
}

export interface DecoderLayout {
  /** Tensor names, `[vocabulary, hidden]`; `head` equals `embedding` where they are tied. */
  embedding: string
  head: string
  /** Learned positions, `[maximumPositions, hidden]`. */
  positions?: string
  layers: LayerLayout[]
  finalNorm: string
  /** In front of all names but the head's; a checkpoint of the bare model leaves it out. */
  prefix: string
}

/**
 * Whether a last layer makes queries of the wanted rows alone, out of all `rows`: where they are few, for they take dispatches of their own, and where queries
 * are a product of their own.
 */
export function asksWantedAlone(wanted: number, rows: number, { attention }: LayerLayout): boolean {
  return wanted <= rows / 2 && attention.kind === 'separate'
}

/** All linear layers of one layer. */
export function layerProjections(layer: LayerLayout): Projection[] {
  const { attention } = layer
  const attending = attention.kind === 'fused' ? [attention.projection] : [attention.query, attention.key, attention.value]
  return [...attending, layer.output, ...(layer.gate ? [layer.gate] : []), layer.up, layer.down]
}

/** The shape of every weight by its name, in the order of the forward pass: known before anything is loaded. */
export function weightShapes(config: DecoderConfig, layout: DecoderLayout): Record<string, readonly number[]> {
  const { hiddenSize, vocabularySize, maximumPositions } = config
  const shapes: Record<string, readonly number[]> = { [layout.embedding]: [vocabularySize, hiddenSize] }
  if (layout.positions) shapes[layout.positions] = [maximumPositions, hiddenSize]
  const addNorm = (path: string): void => {
    shapes[`${path}.weight`] = [hiddenSize]
    if (config.norm === 'layerNorm') shapes[`${path}.bias`] = [hiddenSize]
  }
  for (const layer of layout.layers) {
    addNorm(layer.attentionNorm)
    addNorm(layer.mlpNorm)
    for (const { path, inputs, outputs, layout: order, bias } of layerProjections(layer)) {
      shapes[`${path}.weight`] = order === 'outIn' ? [outputs, inputs] : [inputs, outputs]
      if (bias) shapes[`${path}.bias`] = [outputs]
    }
  }
  addNorm(layout.finalNorm)
  shapes[layout.head] = [vocabularySize, hiddenSize]
  return shapes
}
