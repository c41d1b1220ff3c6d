// The hand-written prompt: the task's template as it is, with nothing trained. Every race measures the other methods against it.
import type { Method } from './method'

export const handwrittenPrompt: Method = {
  id: 'handwrittenPrompt',
  title: 'Hand-written prompt',
  tier: 'main',
  summary: 'Asks the untouched model with the words of the template: what you get for free, before any tuning.',
  paper: {
    title: 'Language Models are Few-Shot Learners',
    authors: 'Brown et al.',
    year: 2020,
    url: 'https://arxiv.org/abs/2005.14165'
  },
  trains: false,
  changesBase: false,
  options: {},
  defaults: { learningRate: 0, weightDecay: 0, source: 'Nothing is trained.' },
  initialParameters: () => Promise.resolve({}),
  adaptation: () => ({}),
  trainedShapes: () => ({})
}
