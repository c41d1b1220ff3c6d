// Full fine-tuning: the run owns a copy of every weight of the base and trains them all.
import type { Method } from './method'

export const allWeights: Method = {
  id: 'allWeights',
  title: 'All weights',
  summary:
    'Changes every number in the model: the most freedom, the most memory, a full-size file, and some of what it knew may be forgotten.',
  paper: {
    title: 'Universal Language Model Fine-tuning for Text Classification',
    authors: 'Howard and Ruder',
    year: 2018,
    url: 'https://arxiv.org/abs/1801.06146'
  },
  trains: true,
  changesBase: true,
  options: {},
  defaults: {
    learningRate: 1e-3,
    weightDecay: 0.01,
    source: 'Provisional: the recipe of the PyTorch reference (AdamW, 10 warm-up steps, linear to zero).'
  },

  // Times one, because `clone` would share the base's buffer.
  initialParameters: ({ weight, weightNames }) =>
    Promise.resolve(Object.fromEntries(weightNames.map((name) => [name, weight(name).mul(1)]))),

  adaptation: (parameters) => ({ weight: (name) => parameters[name] }),

  trainableParameters: (_config, weightShapes) =>
    Object.values(weightShapes).reduce((sum, shape) => sum + shape.reduce((product, size) => product * size, 1), 0)
}
