// LoRA (Hu et al. 2021): beside each chosen linear layer a product of two thin matrices is trained, and added to what the layer gives.
import type * as tf from '@tensorflow/tfjs'
import { UserError } from '../errors'
import { dropout } from './dropout'
import type { Method, OptionValues } from './method'
import { uniformTensor } from './starts'
import { moduleNames, targetProjections } from './targets'

export const lora: Method = {
  id: 'lora',
  title: 'LoRA',
  tier: 'main',
  summary: 'Freezes the model and learns a small correction beside some of its layers: a small file that can be taken off again.',
  paper: {
    title: 'LoRA: Low-Rank Adaptation of Large Language Models',
    authors: 'Hu et al.',
    year: 2021,
    url: 'https://arxiv.org/abs/2106.09685'
  },
  trains: true,
  changesBase: false,
  options: {
    rank: {
      kind: 'integer',
      label: 'Rank',
      help: 'How many directions each correction has; more can learn more and make a bigger file.',
      default: 8,
      minimum: 1,
      maximum: 256
    },
    alpha: {
      kind: 'number',
      label: 'Alpha',
      help: 'How loud the correction is: it is multiplied by alpha over rank.',
      default: 16,
      minimum: 0.001,
      maximum: 1024
    },
    dropout: {
      kind: 'number',
      label: 'Dropout',
      help: 'Hides this share of what each correction reads, other numbers in each training step, so that it does not learn the examples by heart.',
      default: 0,
      minimum: 0,
      maximum: 0.99,
      step: 0.05
    },
    targets: {
      kind: 'choice',
      label: 'Where',
      help: 'Which layers get a correction: every one learns most; queries and values alone, as in the paper, make a fifth of the file.',
      default: 'linear',
      choices: [
        { value: 'queryValue', label: 'Queries and values' },
        { value: 'attention', label: 'All of attention' },
        { value: 'linear', label: 'Every linear layer' },
        { value: 'named', label: 'Layers that I name' }
      ]
    },
    modules: {
      kind: 'text',
      label: 'Layer names',
      help: 'Names of linear layers or their last parts, between commas; * stands for anything.',
      default: 'q_proj, v_proj',
      when: { option: 'targets', value: 'named' }
    },
    rankStabilised: {
      kind: 'flag',
      label: 'Rank-stabilised',
      help: 'Divides alpha by the square root of the rank instead of the rank, so that high ranks learn as fast as low ones (rsLoRA).',
      default: false
    }
  },
  defaults: {
    learningRate: 1e-3,
    weightDecay: 0,
    source:
      'Sweep over places and 3e-4 to 1e-2 (docs/SWEEPS.md): validation macro F1 of 0.66 on reviews and 0.47 on headlines; 3e-3 is as good and forgets five times as much.'
  },

  async initialParameters(context, options) {
    const { rank } = settings(options)
    const targets = targetsOf(context.layout, options)
    if (targets.length === 0) {
      const all = targetProjections(context.layout, 'linear').map(({ path }) => path)
      throw new UserError(
        `LoRA: this model has no linear layer that is called ${JSON.stringify(options.modules)}.`,
        `Its linear layers are called: ${moduleNames(context.layout, all).join(', ')}.`
      )
    }
    return Promise.resolve(
      Object.fromEntries(
        targets.flatMap(({ path, inputs, outputs }) => [
          [down(path), uniformTensor(context, [rank, inputs], 1 / Math.sqrt(inputs))],
          // Zero, so that the first step starts from the model as it is.
          [up(path), context.tensor(new Float32Array(outputs * rank), [outputs, rank])]
        ])
      )
    )
  },

  drawsAnew: (options) => settings(options).dropout > 0,

  adaptation(parameters, _config, options, training) {
    const { rank, alpha, rankStabilised, dropout: rate } = settings(options)
    const scale = alpha / (rankStabilised ? Math.sqrt(rank) : rank)
    return {
      lowRank(path) {
        const a = parameters[down(path)] as tf.Tensor2D | undefined
        const b = parameters[up(path)] as tf.Tensor2D | undefined
        if (!a || !b) return undefined
        return { down: a, up: b, scale, reads: training && rate > 0 ? (x) => dropout(x, rate, path, training) : undefined }
      }
    }
  },

  trainedShapes({ layout }, options) {
    const { rank } = settings(options)
    return Object.fromEntries(
      targetsOf(layout, options).flatMap(({ path, inputs, outputs }) => [
        [down(path), [rank, inputs]],
        [up(path), [outputs, rank]]
      ])
    )
  }
}

/** `[rank, inputs]`, called A in the paper, and `[outputs, rank]`, called B; the names are PEFT's. */
const down = (path: string): string => `${path}.lora_A.weight`
const up = (path: string): string => `${path}.lora_B.weight`

const targetsOf = (layout: Parameters<typeof targetProjections>[0], options: OptionValues) =>
  targetProjections(layout, options.targets as string, options.modules as string)

function settings(options: OptionValues) {
  const { rank, alpha, dropout } = options as Record<'rank' | 'alpha' | 'dropout', number>
  return { rank, alpha, dropout, rankStabilised: options.rankStabilised as boolean }
}
