// The layers nearest to the answer are trained, and the norm behind them; all that lies before stays frozen (Lee et al. 2019).
import { UserError } from '../errors'
import { layerProjections, weightShapes } from '../model/layout'
import { copiesOf, replacing, shapesOf } from './copies'
import type { BaseShape, Method, OptionValues } from './method'

export const lastLayers: Method = {
  id: 'lastLayers',
  title: 'Last layers',
  tier: 'more',
  summary: 'Trains the last layer or layers and leaves all before them as they are: cheaper than all weights, and closest to the answer.',
  paper: {
    title: 'What Would Elsa Do? Freezing Layers During Transformer Fine-Tuning',
    authors: 'Lee, Tang and Lin',
    year: 2019,
    url: 'https://arxiv.org/abs/1911.03090'
  },
  trains: true,
  changesBase: true,
  options: {
    layers: {
      kind: 'integer',
      label: 'Layers',
      help: 'How many layers are trained, counted from the answer; more can learn more and forget more.',
      default: 1,
      minimum: 1,
      maximum: 100
    },
    finalNorm: {
      kind: 'flag',
      label: 'Final norm too',
      help: 'Also trains the scales that stand between the last layer and the answer.',
      default: true
    }
  },
  defaults: {
    learningRate: 1e-3,
    weightDecay: 0.01,
    source:
      'Sweep over 3e-4, 1e-3 and 3e-3 (docs/SWEEPS.md): the highest validation macro F1 on reviews (0.65), 0.55 on headlines, and little forgotten.'
  },

  async initialParameters(context, options) {
    const available = context.config.layers
    if ((options.layers as number) > available) {
      throw new UserError(
        `${options.layers as number} last layers cannot be trained: this model has ${available}.`,
        `Choose ${available} or fewer.`
      )
    }
    return Promise.resolve(copiesOf(trainedNames(context, options), context))
  },

  adaptation: replacing,
  trainedShapes: (base, options) => shapesOf(trainedNames(base, options), base)
}

function trainedNames({ config, layout }: BaseShape, options: OptionValues): string[] {
  const modules = layout.layers
    .slice(-(options.layers as number))
    .flatMap((layer) => [layer.attentionNorm, layer.mlpNorm, ...layerProjections(layer).map(({ path }) => path)])
  if (options.finalNorm) modules.push(layout.finalNorm)
  return Object.keys(weightShapes(config, layout)).filter((name) => modules.includes(name.slice(0, name.lastIndexOf('.'))))
}
