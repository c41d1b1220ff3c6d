// Linear probe (Alain and Bengio 2016): a classifier on what the frozen model has made of the text where the answer would begin.
import type * as tf from '@tensorflow/tfjs'
import { UserError } from '../errors'
import type { Method, TrainedOn } from './method'

export const linearProbe: Method = {
  id: 'linearProbe',
  title: 'Linear probe',
  tier: 'more',
  summary:
    'Leaves the model as it is and learns to read the answer off its inner state, instead of letting it write a word: trained in seconds.',
  paper: {
    title: 'Understanding Intermediate Layers Using Linear Classifier Probes',
    authors: 'Alain and Bengio',
    year: 2016,
    url: 'https://arxiv.org/abs/1610.01644'
  },
  trains: true,
  changesBase: false,
  readsFeatures: true,
  options: {
    passes: {
      kind: 'integer',
      label: 'Passes at most',
      help: 'Ends a budget of seconds after so many passes over the examples: a probe has learnt what it can long before the other methods.',
      default: 50,
      minimum: 1,
      maximum: 10_000
    }
  },
  maximumPasses: (options) => options.passes as number,
  defaults: {
    learningRate: 0.03,
    weightDecay: 0.01,
    source: 'Sweep over 3e-3 to 0.1 (docs/SWEEPS.md): the highest validation macro F1 of the four over reviews (0.66) and headlines (0.54).'
  },

  async initialParameters({ config, layout, labelWords, tensor }) {
    const shapes = headShapes({ config, layout, labels: labelWords.length })
    if (labelWords.length === 0) {
      throw new UserError('A linear probe chooses among labels, and this task has none.', 'Choose a task with labels, or another method.')
    }
    // Zeros: every label is as likely as the others, and the first gradient does not depend on chance.
    return Promise.resolve(
      Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, tensor(new Float32Array(sizeOf(shape)), [...shape])]))
    )
  },

  adaptation: (parameters) => ({
    labelScores: (hidden) => hidden.matMul<tf.Tensor2D>(parameters[WEIGHT]!, false, true).add(parameters[BIAS]!)
  }),

  trainedShapes: headShapes
}

const WEIGHT = 'labelHead.weight'
const BIAS = 'labelHead.bias'

function headShapes({ config, labels }: TrainedOn): Record<string, readonly number[]> {
  return { [WEIGHT]: [labels, config.hiddenSize], [BIAS]: [labels] }
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((product, side) => product * side, 1)
