// P-tuning (Liu et al. 2021): a soft prompt that a small network makes, so that its virtual tokens learn together.
import type * as tf from '@tensorflow/tfjs'
import { UserError } from '../errors'
import type { Network } from '../formats/hostNetwork'
import type { Method, NamedTensors, OptionValues } from './method'
import { linearLayer, linearLayerShapes, normalTensor } from './starts'

export const pTuning: Method = {
  id: 'pTuning',
  title: 'P-tuning',
  tier: 'more',
  summary: 'Learns a soft prompt through a small network that ties its invisible words together; once trained, only the prompt is kept.',
  paper: {
    title: 'GPT Understands, Too',
    authors: 'Liu et al.',
    year: 2021,
    url: 'https://arxiv.org/abs/2103.10385'
  },
  trains: true,
  changesBase: false,
  options: {
    virtualTokens: {
      kind: 'integer',
      label: 'Virtual tokens',
      help: 'How many learned vectors stand in front of the text; more can say more, but each makes every step and every answer slower.',
      default: 20,
      minimum: 1,
      maximum: 100
    },
    width: {
      kind: 'integer',
      label: 'Width of the network',
      help: 'How many numbers the network that makes the prompt holds between its layers.',
      default: 128,
      minimum: 1,
      maximum: 2048
    }
  },
  positions: (options) => settings(options).virtualTokens,
  defaults: {
    learningRate: 0.03,
    weightDecay: 0,
    source:
      'Sweep over 3e-4 to 0.1 (docs/SWEEPS.md): the highest validation macro F1 of the six over reviews (0.56) and headlines (0.33), hardly above guessing.'
  },

  async initialParameters(context, options) {
    const { virtualTokens: count, width } = settings(options)
    const { maximumPositions, hiddenSize } = context.config
    if (count >= maximumPositions) {
      throw new UserError(
        `${count} virtual tokens leave no room for a text: this model reads ${maximumPositions} tokens at most.`,
        `Use fewer than ${maximumPositions} virtual tokens, or a model with a longer context.`
      )
    }
    return Promise.resolve({
      [EMBEDDING]: normalTensor(context, [count, hiddenSize], 1),
      ...linearLayer(context, LAYERS[0], hiddenSize, width),
      ...linearLayer(context, LAYERS[1], width, width),
      ...linearLayer(context, LAYERS[2], width, hiddenSize)
    })
  },

  adaptation: (parameters) => ({
    // A getter, so that the prompt is made within the forward pass: on its tape, and freed with it.
    get virtualTokens() {
      return promptOf(parameters)
    }
  }),

  trainedShapes({ config: { hiddenSize } }, options) {
    const { virtualTokens: count, width } = settings(options)
    return {
      [EMBEDDING]: [count, hiddenSize],
      ...linearLayerShapes(LAYERS[0], hiddenSize, width),
      ...linearLayerShapes(LAYERS[1], width, width),
      ...linearLayerShapes(LAYERS[2], width, hiddenSize)
    }
  }
}

/** Names of the trained tensors, after PEFT's modules. */
const EMBEDDING = 'promptEncoder.embedding'
const LAYERS = ['promptEncoder.mlp.0', 'promptEncoder.mlp.2', 'promptEncoder.mlp.4'] as const

/** The encoder by the names of its tensors, for saving what it makes. */
export const promptNetwork: Network = { embedding: EMBEDDING, layers: LAYERS, activation: 'relu' }

/** Three linear layers with a rectifier between them: PEFT's encoder of type MLP. */
function promptOf(parameters: NamedTensors): tf.Tensor2D {
  return LAYERS.reduce(
    (x, path, i) =>
      (i === 0 ? x : x.relu()).matMul<tf.Tensor2D>(parameters[`${path}.weight`]!, false, true).add(parameters[`${path}.bias`]!),
    parameters[EMBEDDING] as tf.Tensor2D
  )
}

function settings(options: OptionValues) {
  return { virtualTokens: options.virtualTokens as number, width: options.width as number }
}
