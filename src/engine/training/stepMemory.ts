// The memory of one training step from shapes alone: a walk over the layers, forth and back, that adds up what is alive.
import { mayWait } from '../device/earlyRelease'
import { rowsOfPart, trainingLogitsBytes } from '../kernels/labelParts'
import type { BaseShape, TrainedOn } from '../methods/method'
import { getMethod, optionsOf } from '../methods/registry'
import { trainedShapes } from '../methods/trained'
import { asksWantedAlone, type LayerLayout } from '../model/layout'
import { blockFloats, type Floats } from './blockFloats'
import type { Recipe } from './recipe'

/** A padded batch; virtual tokens come on top. */
export interface BatchShape {
  size: number
  time: number
  /** Rows at which the vocabulary is scored. */
  labelRows: number
}

/** Bytes by what they are for; `peak` is their sum. */
export interface MemoryEstimate {
  /** Frozen weights, shared by all runs of a race. */
  base: number
  trained: number
  /** Both moments of AdamW. */
  optimiser: number
  /** Of the trained tensors, at the worst moment of a step. */
  gradients: number
  /** What the forward pass keeps for the backward pass, and what is under way, at that moment. */
  activations: number
  logits: number
  peak: number
  /** Bytes of the largest tensor beside the base: trained, or passing through. */
  largestTensor: number
}

/** The frozen weights on the device. */
export interface HeldBase {
  /** Bytes of all of them. */
  total: number
  /** Bytes of the largest. */
  largest: number
  /** How many numbers they are. */
  parameters: number
  /** False on WebAssembly and WebGL, whose composed operations make many more tensors on their way. */
  fused: boolean
}

/** What of a recipe decides the memory that it takes. */
export type MemoryRecipe = Pick<Recipe, 'parts' | 'gradientCheckpointing'>

export const FLOAT32_BYTES = 4

/** Composed operations against fused ones, measured on WebAssembly: tensors on the way, and gradients with their updates. */
export const COMPOSED = { activations: 6, gradients: 2.5 }

/** The backend submits every 15 dispatches, and a layer's forward pass is about 12. */
const LAYERS_A_SUBMIT = 15 / 12

export const elementsOf = (shape: readonly number[]): number => shape.reduce((product, side) => product * side, 1)

/** Positions that the recipe's virtual tokens add to every row. A key-value prefix is seen by every row, and is none. */
export function virtualTokens({ parts }: MemoryRecipe, on: TrainedOn): number {
  return parts.reduce((sum, part) => {
    const method = getMethod(part.method)
    const isPrefix = Object.keys(trainedShapes([part], on)).some((name) => name.startsWith('prefix.'))
    return sum + (isPrefix ? 0 : (method.positions?.(optionsOf(method, part.options)) ?? 0))
  }, 0)
}

/** Bytes of the logits that exist at a time, of so many rows; `most` as in `rowsOfPart`. */
export const logitsBytes = (rows: number, { vocabularySize, hiddenSize }: BaseShape['config'], most?: number): number =>
  FLOAT32_BYTES * vocabularySize * (rows === 0 ? 0 : rowsOfPart(rows, vocabularySize, hiddenSize, most))

/** What a step takes at its worst moment where so many first layers compute what rises in their feed-forward again. */
export function stepMemory(recipe: MemoryRecipe, batch: BatchShape, on: TrainedOn, base: HeldBase, computedAgain: number): MemoryEstimate {
  const { config, layout } = on
  const shapes = trainedShapes(recipe.parts, on)
  const numbers = Object.values(shapes).reduce((sum, shape) => sum + elementsOf(shape), 0)
  const trained = FLOAT32_BYTES * numbers
  const held = base.total + 3 * trained
  const state = { base: base.total, trained, optimiser: 2 * trained }
  if (numbers === 0 || recipe.parts.every(({ method }) => getMethod(method).readsFeatures)) {
    return { ...state, gradients: trained, activations: 0, logits: 0, peak: held + trained, largestTensor: trained }
  }
  const names = new Map(Object.entries(shapes))
  if ([...names.keys()].some((name) => name.startsWith('prefix.'))) names.set('prefix', [])
  const virtual = virtualTokens(recipe, on)
  const rows = virtual + batch.size * batch.time
  const most = base.fused ? trainingLogitsBytes(config.vocabularySize, config.hiddenSize) : undefined
  const logits = logitsBytes(batch.labelRows, config, most)
  let depends = virtual > 0 || names.has(layout.embedding) || (layout.positions !== undefined && names.has(layout.positions))
  const isPromptAlone = virtual > 0 && ![...names.keys()].some((name) => name.startsWith(layout.prefix) || name === layout.head)
  const blocks = layout.layers.map((layer, index) => {
    const entered = depends
    const enters = entered && index === 0 && isPromptAlone ? 'front' : entered
    const { attention, queries, mlp, depends: leaves } = blockFloats(config, layer, names, enters, index < computedAgain)
    depends = leaves
    const behind = index === config.layers - 1 ? batch.labelRows : rows
    const asked = asksWantedAlone(behind, rows, layer) ? behind : rows
    const bytes = (kind: keyof Floats) => ({
      attention: FLOAT32_BYTES * (rows * attention[kind] + asked * queries[kind]),
      mlp: FLOAT32_BYTES * behind * mlp[kind]
    })
    const entering = entered ? FLOAT32_BYTES * rows * config.hiddenSize : 0
    const gradientsOf = (part: 'attention' | 'mlp'): number =>
      Object.entries(shapes).reduce((sum, [name, shape]) => sum + (partOf(name, layer) === part ? FLOAT32_BYTES * elementsOf(shape) : 0), 0)
    const again = recipe.gradientCheckpointing
    return {
      all: both(bytes('all')),
      kept: again ? { attention: entering, mlp: 0 } : bytes('kept'),
      again: again ? both(bytes('kept')) + both(bytes('dropped')) : 0,
      gradients: { attention: gradientsOf('attention'), mlp: gradientsOf('mlp') },
      back: bytes('back')
    }
  })
  const states = FLOAT32_BYTES * rows * config.hiddenSize
  const widest =
    FLOAT32_BYTES * rows * Math.max(config.intermediateSize, config.hiddenSize, (config.heads + 2 * config.keyValueHeads) * config.headSize)
  let kept = 0
  let worst = { gradients: 0, activations: 0, logits: 0 }
  const note = (gradients: number, activations: number, scores = 0): void => {
    if (gradients + activations + scores > worst.gradients + worst.activations + worst.logits)
      worst = { gradients, activations, logits: scores }
  }
  /** What was freed counts until the commands that use it are submitted. */
  let freed = virtual > 0 ? 2 * states : states
  const waiting = (alive: number, bytes = freed): number => Math.min(bytes, mayWait(held + alive))
  for (const [index, { all, kept: ofParts }] of blocks.entries()) {
    const keeps = both(ofParts)
    const passing = recipe.gradientCheckpointing ? 0 : all - keeps
    const alive = kept + states + all - passing
    // What passes through is freed within the layer, and counts until then as what waits.
    note(0, alive + Math.max(Math.min(passing, widest), waiting(alive, freed + passing)))
    if (recipe.gradientCheckpointing) freed = LAYERS_A_SUBMIT * (all - keeps)
    // With the virtual tokens' queries and keys of their own the first layer is longer than a submit: nothing of before waits.
    else freed = all - keeps + (isPromptAlone && index === 0 ? 0 : freed)
    kept += keeps
  }
  let gradients = names.has(layout.head) ? FLOAT32_BYTES * elementsOf(shapes[layout.head]!) : 0
  const atLoss = kept + 2 * FLOAT32_BYTES * batch.labelRows * config.hiddenSize
  note(gradients, atLoss + waiting(atLoss + gradients + logits), logits)
  for (const block of [...blocks].reverse()) {
    for (const part of ['mlp', 'attention'] as const) {
      gradients += block.gradients[part]
      const alive = kept + block.again + block.back[part]
      // A layer that is computed again frees anew what its gradients do not read; else half of what these take, since they take about two submits.
      const freeing = recipe.gradientCheckpointing ? block.all - block.again : block.back[part] / 2
      note(gradients, alive + waiting(alive + gradients, freeing))
      kept -= block.kept[part]
    }
  }
  const embedding = names.has(layout.embedding) ? FLOAT32_BYTES * elementsOf(shapes[layout.embedding]!) : 0
  // A tied table's gradient as the head is there until that as the embedding is added to it.
  note(trained + (layout.head === layout.embedding ? embedding : 0), 2 * states)
  const largestTensor = Math.max(widest, FLOAT32_BYTES * Math.max(...Object.values(shapes).map(elementsOf)), logits)
  const more = base.fused ? { activations: 1, gradients: 1 } : COMPOSED
  const moving = {
    gradients: more.gradients * worst.gradients,
    activations: more.activations * worst.activations,
    logits: more.activations * worst.logits
  }
  return { ...state, ...moving, peak: held + moving.gradients + moving.activations + moving.logits, largestTensor }
}

const both = ({ attention, mlp }: Record<'attention' | 'mlp', number>): number => attention + mlp

/** To which part of a layer a trained tensor belongs, as `blockFloats` divides it; undefined where it is not the layer's. */
function partOf(name: string, { attentionNorm, attention }: LayerLayout): 'attention' | 'mlp' | undefined {
  if (!name.startsWith(attentionNorm.slice(0, attentionNorm.lastIndexOf('.') + 1))) return undefined
  const reading = attention.kind === 'fused' ? [attention.projection] : [attention.query, attention.key, attention.value]
  return [attentionNorm, ...reading.map(({ path }) => path)].some((path) => name.startsWith(`${path}.`)) ? 'attention' : 'mlp'
}
