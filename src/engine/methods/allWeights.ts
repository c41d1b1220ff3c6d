// Full fine-tuning: the run owns a copy of every weight of the base and trains them all.
import { weightShapes } from '../model/layout'
import { copiesOf, replacing } from './copies'
import type { Method } from './method'

export const allWeights: Method = {
  id: 'allWeights',
  title: 'All weights',
  tier: 'main',
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
    source:
      'Sweep over 3e-4, 5e-4 and 1e-3 (docs/SWEEPS.md): the highest validation accuracy on headlines (0.70) and subjects (0.71); 5e-4 forgets less.'
  },

  initialParameters: (context) => Promise.resolve(copiesOf(context.weightNames, context)),
  adaptation: replacing,
  trainedShapes: ({ config, layout }) => weightShapes(config, layout)
}
