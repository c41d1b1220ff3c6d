// Numbers that one layer of a decoder makes for each token, and those of them that a backward pass keeps.
import type { DecoderConfig } from '../model/config'
import type { LayerLayout, Projection } from '../model/layout'

/** Floats a row. */
export interface Floats {
  /** All that the forward pass makes, whether it is kept or not. */
  all: number
  /** What is kept for the gradients. */
  kept: number
  /** What the gradients read beside that, and compute again; see `kernels/recomputed.ts`. */
  dropped: number
  /** Gradients that are under way at once in the backward pass. */
  back: number
}

export interface BlockFloats {
  attention: Floats
  /** Behind the attention; in the last layer only the label rows come so far. */
  mlp: Floats
  /** Whether what leaves the layer depends on anything trained. */
  depends: boolean
}

/**
 * Counts one layer as `Decoder` runs it. A product keeps its input only where its weight, or an adapter beside it, is trained; norms, attention and
 * activations keep theirs where anything trained lies in front of them, and what norms and activations then give need not be kept.
 * @param trained names of trained tensors: weights of the base, `<path>.lora_A.weight`, `<path>.ia3_l`, `prefix.<layer>...`
 * @param enters whether what enters the layer depends on anything trained
 */
export function blockFloats(config: DecoderConfig, layer: LayerLayout, trained: ReadonlySet<string>, enters: boolean): BlockFloats {
  const { hiddenSize, heads, keyValueHeads, headSize, intermediateSize, rotary } = config
  const [queries, keys] = [heads * headSize, keyValueHeads * headSize]
  const { attention: projections, gate, up, down, output } = layer
  const reading = projections.kind === 'fused' ? [projections.projection] : [projections.query, projections.key, projections.value]
  const rising = gate ? [gate, up] : [up]
  const trains = (path: string): boolean => trained.has(`${path}.weight`) || trained.has(`${path}.bias`)
  const adapts = ({ path }: Projection): boolean => trained.has(`${path}.lora_A.weight`) || trained.has(`${path}.ia3_l`)
  const keepsInput = (projection: Projection): boolean => trained.has(`${projection.path}.weight`) || adapts(projection)
  const moves = (projection: Projection): boolean => trains(projection.path) || adapts(projection)
  const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0)
  /** An adapter adds to, or scales, a result of its own. */
  const beside = (some: Projection[]): number => sum(some.filter(adapts).map(({ outputs }) => outputs))

  const intoAttention = enters || trains(layer.attentionNorm) || reading.some(moves) || trained.has('prefix')
  const intoMlp = intoAttention || moves(output)
  const depends = intoMlp || trains(layer.mlpNorm) || [...rising, down].some(moves)
  const inner = rising.length * intermediateSize
  /** Floats of a product's input, where it is needed: kept, or dropped where that is kept which it is made of. */
  const inputOf = (reader: Projection[], width: number, isMadeAgain: boolean): Pick<Floats, 'kept' | 'dropped'> => {
    const floats = reader.some(keepsInput) ? width : 0
    return isMadeAgain ? { kept: 0, dropped: floats } : { kept: floats, dropped: 0 }
  }
  const keepsInner = intoMlp || trains(layer.mlpNorm) || rising.some(moves)
  const normed = inputOf(reading, hiddenSize, enters || trains(layer.attentionNorm))
  const mlpNormed = inputOf(rising, hiddenSize, intoMlp || trains(layer.mlpNorm))
  const active = inputOf([down], intermediateSize, keepsInner)
  return {
    attention: {
      all:
        hiddenSize +
        (projections.kind === 'fused' ? 2 : 1) * (queries + 2 * keys) +
        (rotary ? queries + keys : 0) +
        queries +
        2 * heads +
        beside(reading),
      kept:
        (enters ? hiddenSize + 1 : 0) +
        normed.kept +
        (intoAttention ? queries + 2 * keys + 2 * heads : 0) +
        (keepsInput(output) ? queries : 0),
      dropped: normed.dropped,
      back: 2 * hiddenSize + 2 * (queries + 2 * keys) + queries
    },
    mlp: {
      all: 3 * hiddenSize + inner + intermediateSize + beside([...rising, output, down]),
      kept: (intoMlp ? hiddenSize + 1 : 0) + mlpNormed.kept + (keepsInner ? inner : 0) + active.kept,
      dropped: mlpNormed.dropped + active.dropped,
      back: 2 * hiddenSize + inner + intermediateSize
    },
    depends
  }
}
