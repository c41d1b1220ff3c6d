// The decoder-only transformer: token ids to hidden states at the label positions, and from there to logits and loss.
import * as tf from '@tensorflow/tfjs'
import { UserError } from '../errors'
import { derived, fixed } from '../hostArrays'
import { attention, type AttentionInputs } from '../kernels/attention'
import { detached } from '../kernels/detached'
import { embedding } from '../kernels/embedding'
import { gatherRows } from '../kernels/gatherRows'
import { gelu } from '../kernels/gelu'
import { cheap, madeAgain, modelBlock } from '../kernels/gradients'
import { headLoss } from '../kernels/headLoss'
import { labelLogProbabilities, labelLoss } from '../kernels/labelLoss'
import { layerNorm } from '../kernels/layerNorm'
import { linear } from '../kernels/linear'
import { linearGroup } from '../kernels/linearGroup'
import { PackedMatrix, unpacked, type FrozenMatrix } from '../kernels/packed'
import { rmsNorm } from '../kernels/rmsNorm'
import { rotary } from '../kernels/rotary'
import { swiglu } from '../kernels/swiglu'
import type { Adaptation } from '../methods/method'
import type { Batch } from './batch'
import type { DecoderConfig } from './config'
import { asksWantedAlone, type AttentionProjections, type DecoderLayout, type LayerLayout, type Projection } from './layout'
import { RotaryCache } from './rotaryTable'
import { anglesOf, trainedFront, type Angles, type Asked } from './someRows'

/** What one pass over the layers is about; virtual tokens count as tokens. */
export interface Pass {
  batch: number
  /** Tokens that are fed, by row. */
  time: number
  /**
   * So many first tokens of every row are the same, as virtual tokens are: what comes after them changes nothing about them, so they are fed once, in front of
   * all rows, and states are `[shared + batch * (time - shared), ...]`. Absent is none.
   */
  shared?: number
  /** Place of the first of them in its row: 0 but in generation. By row where rows differ in length; `time` is 1 then. */
  offset: number | Int32Array
  /** `[batch]` real tokens of each row up to here. */
  lengths: Int32Array
  adaptation: Adaptation
  /** The flat rows whose result is wanted; all where absent. */
  rows?: Int32Array
  /** So many first layers do not keep what rises in their feed-forward, but compute it again for the gradients; see `training/computedAgain.ts`. */
  computedAgain?: number
  /** Sees keys and values, and joins earlier ones in front, in generation. `[batch * time, keyValueHeads * headSize]` in, `[batch * keyTime, ...]` out. */
  extend?: (layer: number, key: tf.Tensor2D, value: tf.Tensor2D) => { key: tf.Tensor2D; value: tf.Tensor2D; keyTime: number }
  /** Sees what each layer's attention is computed from; the tensors are the pass's own. */
  observe?: (layer: number, inputs: AttentionInputs) => void
}

const NO_ADAPTATION: Adaptation = {}

type QueryKeyValue = Record<'query' | 'key' | 'value', tf.Tensor2D>

/** A weight as the decoder holds it: a matrix may be packed, all else is float32. */
export type FrozenWeight = tf.Tensor | PackedMatrix

/** A model on the device. All its methods may be called on the gradient tape; gradients flow into whatever the adaptation brings in. */
export class Decoder {
  readonly #weights: Readonly<Record<string, FrozenWeight>>
  readonly #rotary: RotaryCache | undefined

  /** `weights` by Hugging Face name, in Hugging Face layout; owned by the decoder from here on. */
  constructor(
    readonly config: DecoderConfig,
    readonly layout: DecoderLayout,
    weights: Readonly<Record<string, FrozenWeight>>
  ) {
    this.#weights = weights
    this.#rotary = config.rotary && new RotaryCache(config.rotary)
  }

  get weightNames(): readonly string[] {
    return Object.keys(this.#weights)
  }

  /** The weight of that Hugging Face name, as it is held. Never to be disposed by the caller. */
  frozen(name: string): FrozenWeight {
    const weight = this.#weights[name]
    if (!weight) throw new Error(`The model has no weight ${name}.`)
    return weight
  }

  /** The frozen weight of that Hugging Face name as float32: the decoder's own tensor, or, of a packed matrix, a new one in the current scope. */
  weight(name: string): tf.Tensor {
    return unpacked(this.frozen(name) as FrozenMatrix)
  }

  /** A float32 copy with a buffer of its own, for the caller or the current scope to free. */
  copyOf(name: string): tf.Tensor {
    const weight = this.frozen(name)
    // Times one, because `clone` would share the buffer.
    return weight instanceof PackedMatrix ? weight.unpack() : tf.mul(weight, 1)
  }

  /** What the model reads these tokens as, `[ids, hidden]` flat. */
  async embeddingsOf(ids: readonly number[]): Promise<Float32Array> {
    const rows = tf.tidy(() => embedding(this.#matrix(this.layout.embedding, NO_ADAPTATION), Int32Array.from(ids)))
    try {
      return (await rows.data()) as Float32Array
    } finally {
      rows.dispose()
    }
  }

  /** Numbers of all weights together. */
  get parameters(): number {
    return Object.values(this.#weights).reduce((sum, { size }) => sum + size, 0)
  }

  /** Bytes of all weights on the device. */
  get bytes(): number {
    return Object.values(this.#weights).reduce((sum, weight) => sum + (weight instanceof PackedMatrix ? weight.bytes : 4 * weight.size), 0)
  }

  /**
   * Hidden states after the final norm at `batch.labelRows`, `[labelRows, hidden]` float32. Virtual tokens stand in front of every row; the batch's
   * rows still count from its own first token.
   * @throws UserError where tokens, virtual tokens and prefix together are longer than the model's positions
   */
  hiddenStates(
    batch: Batch,
    given: Adaptation = NO_ADAPTATION,
    { observe, computedAgain }: Pick<Pass, 'observe' | 'computedAgain'> = {}
  ): tf.Tensor2D {
    return tf.tidy(() => {
      // Virtual tokens may be made when they are read: once is enough.
      const adaptation = { ...given }
      const virtual = adaptation.virtualTokens?.shape[0] ?? 0
      const rows = derived(batch.labelRows, (all) => all.map((row) => virtual + row))
      const lengths = derived(batch.lengths, (all) => all.map((length) => length + virtual))
      const pass = {
        batch: batch.size,
        time: virtual + batch.time,
        shared: virtual,
        offset: 0,
        lengths,
        adaptation,
        rows,
        observe,
        computedAgain
      }
      return this.run(this.embed(batch.inputIds, adaptation), pass)
    })
  }

  /** `[n, hidden]` to `[n, vocabulary]` float32. */
  logits(hidden: tf.Tensor2D, adaptation: Adaptation = NO_ADAPTATION): tf.Tensor2D {
    return linear({ x: hidden, weight: this.#matrix(this.layout.head, adaptation) })
  }

  /** `sum(labelWeights * nats)` over the batch's labels, a float32 scalar; of a label head the mean nats of the rows' true labels. */
  loss(batch: Batch, adaptation: Adaptation = NO_ADAPTATION, options: Pick<Pass, 'computedAgain'> = {}): tf.Scalar {
    const { labelScores } = adaptation
    if (labelScores && batch.classes) {
      const { rows, labels } = batch.classes
      return tf.tidy(() => headLoss(labelScores(this.hiddenStates({ ...batch, labelRows: rows }, adaptation, options)), labels))
    }
    return tf.tidy(() => labelLoss({ ...this.#labels(batch, adaptation, options), weights: batch.labelWeights }))
  }

  /** `log p(labelId)` of each label row, `[n]` float32. */
  logProbabilities(batch: Batch, adaptation: Adaptation = NO_ADAPTATION): tf.Tensor1D {
    return tf.tidy(() => labelLogProbabilities(this.#labels(batch, adaptation)))
  }

  /** Token embeddings with the virtual tokens in front, once: `[virtual + batch * time, hidden]`. Learned positions are added in `run`. */
  embed(ids: Int32Array, adaptation: Adaptation): tf.Tensor2D {
    const x = embedding(this.#matrix(this.layout.embedding, adaptation), ids)
    const { virtualTokens } = adaptation
    return virtualTokens ? tf.concat([virtualTokens, x], 0) : x
  }

  /** Embedded tokens through all layers and the final norm: `[batch * time, hidden]` (see `Pass.shared`) in, the wanted rows out. */
  run(embedded: tf.Tensor2D, pass: Pass): tf.Tensor2D {
    const { layout } = this
    const { adaptation, offset, time } = pass
    // A key-value prefix takes positions, as earlier tokens do in a cache.
    const prefix = adaptation.keyValues?.(0)?.key.shape[0] ?? 0
    this.#checkLength(prefix + Math.max(...pass.lengths))
    const positions =
      typeof offset === 'number' ? Int32Array.from({ length: time }, (_, i) => prefix + offset + i) : offset.map((at) => prefix + at)
    const angles = this.#angles(positions, pass)
    let x = layout.positions ? this.#addPositions(embedded, layout.positions, positions, pass) : embedded
    layout.layers.forEach((layer, index) => {
      const before = x
      x = modelBlock((input) => this.#layer(input, layer, index, { ...pass, angles }), before)
      if (before !== embedded) before.dispose()
    })
    return this.#norm(x, layout.finalNorm, adaptation)
  }

  dispose(): void {
    for (const weight of Object.values(this.#weights)) weight.dispose()
    this.#rotary?.dispose()
  }

  /** One layer: `[batch * time, hidden]` in, the same out, or, of the last, the wanted rows. */
  #layer(x: tf.Tensor2D, layer: LayerLayout, index: number, pass: Pass & { angles?: Angles }): tf.Tensor2D {
    const { layers, parallelResidual } = this.config
    const { adaptation } = pass
    // Behind the last attention rows no longer meet: only the wanted ones go on.
    const rows = index === layers - 1 ? pass.rows : undefined
    const norm = (states: tf.Tensor2D): tf.Tensor2D => this.#norm(states, layer.attentionNorm, adaptation)
    const residual = rows ? gatherRows(x, rows) : x
    const isWatched = pass.offset !== 0 || pass.extend || pass.observe
    const asked = rows && !isWatched && asksWantedAlone(rows.length, x.shape[0], layer) ? { x: norm(residual), rows } : undefined
    const front = index === 0 && !asked && !isWatched ? trainedFront(x, pass) : undefined
    const all = this.#attend(norm(front ? detached(x) : x), layer, index, pass, { asked, front: front && norm(front) })
    const mixed = rows && !asked ? gatherRows(all, rows) : all
    const attended = this.#project(mixed, layer.output, adaptation, residual)
    const mlpInput = this.#norm(parallelResidual ? residual : attended, layer.mlpNorm, adaptation)
    const isAgain = index < (pass.computedAgain ?? 0)
    return this.#project(this.#activate(mlpInput, layer, adaptation, isAgain), layer.down, adaptation, attended)
  }

  #labels(
    batch: Batch,
    adaptation: Adaptation,
    options?: Pick<Pass, 'computedAgain'>
  ): { hidden: tf.Tensor2D; table: FrozenMatrix; targets: Int32Array } {
    const hidden = this.hiddenStates(batch, adaptation, options)
    return { hidden, table: this.#matrix(this.layout.head, adaptation), targets: batch.labelIds }
  }

  #vector(name: string, adaptation: Adaptation): tf.Tensor1D {
    return (adaptation.weight?.(name) ?? this.frozen(name)) as tf.Tensor1D
  }

  #matrix(name: string, adaptation: Adaptation): FrozenMatrix {
    return (adaptation.weight?.(name) ?? this.frozen(name)) as FrozenMatrix
  }

  #norm(x: tf.Tensor2D, path: string, adaptation: Adaptation): tf.Tensor2D {
    const weight = this.#vector(`${path}.weight`, adaptation)
    const { norm, normEpsilon } = this.config
    if (norm === 'rmsNorm') return cheap((states: tf.Tensor2D) => rmsNorm(states, weight, normEpsilon), x)
    const bias = this.#vector(`${path}.bias`, adaptation)
    return cheap((states: tf.Tensor2D) => layerNorm(states, weight, bias, normEpsilon), x)
  }

  #project(x: tf.Tensor2D, projection: Projection, adaptation: Adaptation, residual?: tf.Tensor2D): tf.Tensor2D {
    const { path } = projection
    const input = adaptation.linearInput?.(path, x) ?? x
    const { linear: hook } = adaptation
    const [y] = this.#multiply(input, [projection], adaptation, hook ? undefined : residual) as [tf.Tensor2D]
    if (!hook) return y
    const changed = hook(path, input, y)
    return residual ? tf.add(changed, residual) : changed
  }

  /** Layers of one input and one form, with what is added beside them. */
  #multiply(x: tf.Tensor2D, projections: readonly Projection[], adaptation: Adaptation, residual?: tf.Tensor2D): tf.Tensor2D[] {
    return linearGroup({
      x,
      weights: projections.map(({ path }) => this.#matrix(`${path}.weight`, adaptation)),
      layout: projections[0]?.layout,
      biases: projections[0]?.bias ? projections.map(({ path }) => this.#vector(`${path}.bias`, adaptation)) : undefined,
      residual,
      lowRanks: projections.map(({ path }) => adaptation.lowRank?.(path))
    })
  }

  /** Several linear layers of one input: one product where nothing makes their inputs differ and either all of their weights are trained or none. */
  #projectAll(x: tf.Tensor2D, projections: readonly Projection[], adaptation: Adaptation): tf.Tensor2D[] {
    const alike = (value: (projection: Projection) => unknown): boolean => new Set(projections.map(value)).size === 1
    const grouped =
      projections.length > 1 &&
      alike(({ layout, bias }) => `${layout} ${bias}`) &&
      projections[0]?.layout === 'outIn' &&
      alike(({ path }) => adaptation.weight?.(`${path}.weight`) !== undefined) &&
      projections.every(({ path }) => (adaptation.linearInput?.(path, x) ?? x) === x)
    if (!grouped) return projections.map((projection) => this.#project(x, projection, adaptation))
    const outputs = this.#multiply(x, projections, adaptation)
    const { linear: hook } = adaptation
    return hook ? outputs.map((y, at) => hook((projections[at] as Projection).path, x, y)) : outputs
  }

  /** The angles of a pass and where in them its tokens stand. `positions` are those of one row's tokens, or of each row's one token. */
  #angles(positions: Int32Array, { batch, time, offset, shared }: Pass): Angles | undefined {
    const table = this.#rotary?.reach(Math.max(...positions) + 1)
    if (!table || typeof offset === 'number') return table && { table, batch, time, shared, offset: positions[0] as number }
    return {
      table: { cosine: gatherRows(table.cosine, positions), sine: gatherRows(table.sine, positions) },
      batch: 1,
      time: batch,
      offset: 0
    }
  }

  #addPositions(x: tf.Tensor2D, name: string, positions: Int32Array, { time, offset, shared = 0, adaptation }: Pass): tf.Tensor2D {
    const last = this.config.maximumPositions - 1
    const repeats = typeof offset === 'number'
    const places = Int32Array.from({ length: x.shape[0] }, (_, row) => {
      const at = repeats && row >= shared ? shared + ((row - shared) % (time - shared)) : row
      // Padding may reach beyond the last position; what it holds is never read.
      return Math.min(positions[at] as number, last)
    })
    // In generation rows stand at places of their own, which change; in a whole pass they begin at 0.
    return tf.add(x, embedding(this.#matrix(name, adaptation), repeats ? fixed(places) : places))
  }

  #attend(
    x: tf.Tensor2D,
    layer: LayerLayout,
    index: number,
    pass: Pass & { angles?: Angles },
    { asked, front }: { asked?: Asked; front?: tf.Tensor2D }
  ): tf.Tensor2D {
    const { heads, keyValueHeads, headSize, attentionScale, attentionWindows } = this.config
    const { batch, time, shared, offset, lengths, adaptation, angles } = pass
    const { query, key, value } = this.#queryKeyValue(x, layer, adaptation, angles, asked)
    const own = { key, value, keyTime: time }
    const inputs: AttentionInputs = {
      query,
      ...(pass.extend?.(index, key, value) ?? own),
      front: front && this.#queryKeyValue(front, layer, adaptation, angles && { ...angles, batch: 1, time: front.shape[0], shared: 0 }),
      prefix: adaptation.keyValues?.(index),
      lengths,
      shared,
      batch,
      queryTime: time,
      queryOffset: typeof offset === 'number' ? offset : 'last',
      heads,
      keyValueHeads,
      headSize,
      scale: attentionScale,
      window: attentionWindows[index],
      queries: asked?.rows
    }
    pass.observe?.(index, inputs)
    return attention(inputs)
  }

  /** Queries and keys are turned already. */
  #queryKeyValue(
    x: tf.Tensor2D,
    { attention: layout }: LayerLayout,
    adaptation: Adaptation,
    angles?: Angles,
    asked?: Asked
  ): QueryKeyValue {
    const { heads, keyValueHeads } = this.config
    if (layout.kind === 'separate' && asked) {
      const [key, value] = this.#projectAll(x, [layout.key, layout.value], adaptation)
      const [query] = this.#turn([this.#project(asked.x, layout.query, adaptation)], [heads], angles && anglesOf(asked.rows, angles))
      const [turnedKey] = this.#turn([key as tf.Tensor2D], [keyValueHeads], angles)
      return { query, key: turnedKey, value } as QueryKeyValue
    }
    const [query, key, value] =
      layout.kind === 'separate'
        ? this.#projectAll(x, [layout.query, layout.key, layout.value], adaptation)
        : this.#fusedQueryKeyValue(x, layout, adaptation)
    const [turnedQuery, turnedKey] = this.#turn([query as tf.Tensor2D, key as tf.Tensor2D], [heads, keyValueHeads], angles)
    return { query: turnedQuery, key: turnedKey, value } as QueryKeyValue
  }

  #fusedQueryKeyValue(
    x: tf.Tensor2D,
    { projection, order }: Extract<AttentionProjections, { kind: 'fused' }>,
    adaptation: Adaptation
  ): tf.Tensor2D[] {
    const { heads, headSize } = this.config
    const width = heads * headSize
    const fused = this.#project(x, projection, adaptation)
    const rows = fused.shape[0]
    const shape = order === 'blocks' ? [rows, 3, width] : [rows * heads, 3, headSize]
    return tf.unstack(tf.reshape(fused, shape), 1).map((part) => tf.reshape(part, [rows, width]) as tf.Tensor2D)
  }

  #turn(states: tf.Tensor2D[], heads: number[], angles?: Angles): tf.Tensor2D[] {
    const { headSize, rotary: turning } = this.config
    return angles && turning ? rotary(states, angles.table, { ...angles, heads, headSize, dimensions: turning.dimensions }) : states
  }

  #activate(x: tf.Tensor2D, layer: LayerLayout, adaptation: Adaptation, isAgain: boolean): tf.Tensor2D {
    const rising = layer.gate ? [layer.gate, layer.up] : [layer.up]
    const rise = (states: tf.Tensor2D): tf.Tensor2D[] => this.#projectAll(states, rising, adaptation)
    // What a method adds may be drawn, or need tensors of its own, which are gone by then.
    const [first, second] = isAgain && !adaptation.linear && !adaptation.lowRank ? madeAgain(rise, x) : rise(x)
    if (second) return cheap(swiglu, first as tf.Tensor2D, second)
    const form = this.config.mlp === 'geluErf' ? 'erf' : 'tanh'
    return cheap((states: tf.Tensor2D) => gelu(states, form), first as tf.Tensor2D)
  }

  #checkLength(length: number): void {
    const { maximumPositions } = this.config
    if (length <= maximumPositions) return
    throw new UserError(
      `A text of ${length} tokens, virtual tokens included, is longer than the ${maximumPositions} that the model was made for.`,
      'Shorten the text or the template, or use fewer virtual tokens.'
    )
  }
}
