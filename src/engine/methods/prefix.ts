// Prefix tuning (Li and Liang 2021): trained keys and values in front of every layer's own, straight or through a small network.
import type * as tf from '@tensorflow/tfjs'
import { UserError } from '../errors'
import type { Network } from '../formats/hostNetwork'
import type { DecoderConfig } from '../model/config'
import type { KeyValuePrefix, Method, MethodContext, NamedTensors, OptionValues } from './method'
import { linearLayer, linearLayerShapes, normalTensor } from './starts'

export const prefix: Method = {
  id: 'prefix',
  title: 'Prefix',
  tier: 'more',
  summary:
    'Freezes the model and learns invisible words at every layer instead of only at the entrance: stronger than a soft prompt, and larger.',
  paper: {
    title: 'Prefix-Tuning: Optimizing Continuous Prompts for Generation',
    authors: 'Li and Liang',
    year: 2021,
    url: 'https://arxiv.org/abs/2101.00190'
  },
  trains: true,
  changesBase: false,
  options: {
    virtualTokens: {
      kind: 'integer',
      label: 'Virtual tokens',
      help: 'How many learned keys and values stand in front of the text at every layer; more can say more, but each makes every step slower.',
      default: 20,
      minimum: 1,
      maximum: 100
    },
    reparameterise: {
      kind: 'flag',
      label: 'Through a network',
      help: 'Trains a small network that makes the prefix, which the paper found steadier; it is not needed any more once training is done.',
      default: false
    }
  },
  positions: (options) => settings(options).virtualTokens,
  defaults: {
    learningRate: 0.03,
    weightDecay: 0,
    source: 'Sweep over 3e-3 to 0.1 (docs/SWEEPS.md): the highest validation macro F1 of the four over reviews (0.62) and headlines (0.36).'
  },

  async initialParameters(context, options) {
    const { virtualTokens: count, reparameterise } = settings(options)
    const { maximumPositions } = context.config
    if (count >= maximumPositions) {
      throw new UserError(
        `A prefix of ${count} leaves no room for a text: this model reads ${maximumPositions} tokens at most.`,
        `Use fewer than ${maximumPositions} virtual tokens, or a model with a longer context.`
      )
    }
    return Promise.resolve(reparameterise ? networkStart(context, count) : straightStart(context, count))
  },

  adaptation: (parameters) => ({
    keyValues: (layer) => (parameters[EMBEDDING] ? throughNetwork(parameters, layer) : straight(parameters, layer))
  }),

  trainedShapes({ config }, options) {
    const { virtualTokens: count, reparameterise } = settings(options)
    const width = prefixWidth(config)
    const names = Array.from({ length: config.layers }, (_, layer) => sides.map((side) => prefixSide(layer, side))).flat()
    if (!reparameterise) return Object.fromEntries(names.map((name) => [name, [count, width]]))
    const layers = [HIDDEN, ...names].map((name) => linearLayerShapes(name, width, width))
    return Object.assign({ [EMBEDDING]: [count, width] }, ...layers) as Record<string, number[]>
  }
}

/** Of one key or value: `keyValueHeads * headSize`. PEFT's `token_dim`, and the width of its network too. */
export const prefixWidth = ({ keyValueHeads, headSize }: DecoderConfig): number => keyValueHeads * headSize

/** Name of a layer's `[virtualTokens, width]` keys or values, or of the linear layer that makes them. */
export const prefixSide = (layer: number, side: keyof KeyValuePrefix): string => `prefix.${layer}.${side}`

const EMBEDDING = 'prefix.embedding'
const HIDDEN = 'prefix.hidden'
const sides = ['key', 'value'] as const

/** The network of one layer's keys or values by the names of its tensors, for saving what it makes. */
export const prefixNetwork = (layer: number, side: keyof KeyValuePrefix): Network => ({
  embedding: EMBEDDING,
  layers: [HIDDEN, prefixSide(layer, side)],
  activation: 'tanh'
})

function straightStart(context: MethodContext, count: number): NamedTensors {
  const shape = [count, prefixWidth(context.config)]
  const layers = Array.from({ length: context.config.layers }, (_, layer) => layer)
  // Keys that differ attend to different texts and so get different gradients; values near zero leave the model nearly as it is.
  const deviations = { key: 1, value: 0.02 }
  return Object.fromEntries(
    layers.flatMap((layer) => sides.map((side) => [prefixSide(layer, side), normalTensor(context, shape, deviations[side])]))
  )
}

function networkStart(context: MethodContext, count: number): NamedTensors {
  const width = prefixWidth(context.config)
  const parameters: NamedTensors = {
    [EMBEDDING]: normalTensor(context, [count, width], 1),
    ...linearLayer(context, HIDDEN, width, width)
  }
  for (let layer = 0; layer < context.config.layers; layer++) {
    for (const side of sides) Object.assign(parameters, linearLayer(context, prefixSide(layer, side), width, width))
  }
  return parameters
}

function straight(parameters: NamedTensors, layer: number): KeyValuePrefix {
  return { key: parameters[prefixSide(layer, 'key')] as tf.Tensor2D, value: parameters[prefixSide(layer, 'value')] as tf.Tensor2D }
}

/** `tanh(embedding * hidden) * side`: one network for all layers in the paper; a layer's part of its last product is a tensor of its own here. */
function throughNetwork(parameters: NamedTensors, layer: number): KeyValuePrefix {
  const apply = (x: tf.Tensor2D, path: string): tf.Tensor2D =>
    x.matMul<tf.Tensor2D>(parameters[`${path}.weight`]!, false, true).add(parameters[`${path}.bias`]!)
  const hidden = apply(parameters[EMBEDDING] as tf.Tensor2D, HIDDEN).tanh()
  return { key: apply(hidden, prefixSide(layer, 'key')), value: apply(hidden, prefixSide(layer, 'value')) }
}

function settings(options: OptionValues) {
  return { virtualTokens: options.virtualTokens as number, reparameterise: options.reparameterise as boolean }
}
