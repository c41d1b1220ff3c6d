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
  /** Beside what was kept: gradients that are under way at once in the backward pass, and what is computed again for them. */
  back: number
}

export interface BlockFloats {
  /** Up to the attention, what belongs to queries and their results aside. */
  attention: Floats
  /** Of queries; in the last layer not all may be asked. */
  queries: Floats
  /** Behind the attention; in the last layer only the label rows come so far. */
  mlp: Floats
  /** Whether what leaves the layer depends on anything trained. */
  depends: boolean
}

/**
 * Counts one layer as `Decoder` runs it. A product keeps its input only where its weight, or an adapter beside it, is trained; norms, attention and
 * activations keep theirs where anything trained lies in front of them, and what norms and activations then give need not be kept.
 * @param trained shapes of trained tensors by name: weights of the base, `<path>.lora_A.weight`, `<path>.ia3_l`, `prefix.<layer>...`
 * @param enters whether what enters the layer depends on anything trained; `front` where only its shared rows do, and nothing else up to the attention
 * @param computedAgain what rises in the feed-forward is not kept; see `Pass.computedAgain`
 */
export function blockFloats(
  config: DecoderConfig,
  layer: LayerLayout,
  trained: ReadonlyMap<string, readonly number[]>,
  enters: boolean | 'front',
  computedAgain = false
): BlockFloats {
  const { hiddenSize, heads, keyValueHeads, headSize, intermediateSize, rotary } = config
  const [queryWidth, keyWidth] = [heads * headSize, keyValueHeads * headSize]
  const { attention: projections, gate, up, down, output } = layer
  const isFused = projections.kind === 'fused'
  const reading = isFused ? [projections.projection] : [projections.key, projections.value]
  const asking = isFused ? [] : [projections.query]
  const rising = gate ? [gate, up] : [up]
  const behind = [...rising, output, down]
  const trains = (path: string): boolean => trained.has(`${path}.weight`) || trained.has(`${path}.bias`)
  const adapts = ({ path }: Projection): boolean => trained.has(`${path}.lora_A.weight`) || trained.has(`${path}.ia3_l`)
  const keepsInput = (projection: Projection): boolean => trained.has(`${projection.path}.weight`) || adapts(projection)
  const moves = (projection: Projection): boolean => trains(projection.path) || adapts(projection)
  const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0)
  /** What scales has a result of its own. */
  const scales = (some: Projection[]): number => sum(some.filter(({ path }) => trained.has(`${path}.ia3_l`)).map(({ outputs }) => outputs))
  /** What lies between the two products of a low rank, which are added in place; their gradients take as much. */
  const ranks = (some: Projection[]): number => sum(some.map(({ path }) => trained.get(`${path}.lora_A.weight`)?.[0] ?? 0))

  const intoAttention = !!enters || trains(layer.attentionNorm) || [...reading, ...asking].some(moves) || trained.has('prefix')
  const intoMlp = intoAttention || moves(output)
  const depends = intoMlp || trains(layer.mlpNorm) || [...rising, down].some(moves)
  const inner = rising.length * intermediateSize
  /** Floats of a product's input, where it is needed: kept, or dropped where that is kept which it is made of. */
  const inputOf = (reader: Projection[], width: number, isMadeAgain: boolean): Pick<Floats, 'kept' | 'dropped'> => {
    const floats = reader.some(keepsInput) ? width : 0
    return isMadeAgain ? { kept: 0, dropped: floats } : { kept: floats, dropped: 0 }
  }
  const keepsInner = intoMlp || trains(layer.mlpNorm) || rising.some(moves)
  const normed = inputOf([...reading, ...asking], hiddenSize, !!enters || trains(layer.attentionNorm))
  const mlpNormed = inputOf(rising, hiddenSize, intoMlp || trains(layer.mlpNorm))
  const active = inputOf([down], intermediateSize, keepsInner)
  const risen = keepsInner ? inner : 0
  return {
    attention: {
      all: hiddenSize + (isFused ? 2 : 1) * 2 * keyWidth + (rotary ? keyWidth : 0) + scales(reading) + ranks(reading),
      kept: (enters === true ? hiddenSize + 1 : 0) + normed.kept + (intoAttention ? 2 * keyWidth : 0) + ranks(reading),
      dropped: normed.dropped,
      back: hiddenSize + (enters === 'front' ? 0 : 4 * keyWidth) + ranks(reading)
    },
    queries: {
      all: (isFused ? 2 : 1) * queryWidth + (rotary ? queryWidth : 0) + queryWidth + 2 * heads + scales(asking) + ranks(asking),
      kept: (intoAttention ? queryWidth + 2 * heads : 0) + (keepsInput(output) ? queryWidth : 0) + ranks(asking),
      dropped: 0,
      back: (enters === 'front' ? 2 : 3) * queryWidth + ranks(asking)
    },
    mlp: {
      all: 3 * hiddenSize + inner + intermediateSize + scales(behind) + ranks(behind),
      kept: (intoMlp ? hiddenSize + 1 : 0) + mlpNormed.kept + (computedAgain ? 0 : risen) + active.kept + ranks(behind),
      dropped: mlpNormed.dropped + active.dropped + (computedAgain ? risen : 0),
      // The activation is computed again beside its gradient; those of gate and up take their places.
      back: hiddenSize + 2 * intermediateSize + ranks(rising) + (computedAgain ? hiddenSize + risen : 0)
    },
    depends
  }
}
