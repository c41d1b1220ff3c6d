// The hand-written prompt: the task's template or one of a person's own, with nothing trained. Every race measures the other methods against it.
import type { Method } from './method'

export const handwrittenPrompt: Method = {
  id: 'handwrittenPrompt',
  title: 'Hand-written prompt',
  tier: 'main',
  summary:
    'Asks the untouched model with the words of a template, and solved examples if you like: what you get for free, before any tuning.',
  paper: {
    title: 'Language Models are Few-Shot Learners',
    authors: 'Brown et al.',
    year: 2020,
    url: 'https://arxiv.org/abs/2005.14165'
  },
  trains: false,
  changesBase: false,
  options: {
    template: {
      kind: 'text',
      label: 'Template',
      help: 'The question, with each field of the examples in braces, ending where the answer begins; empty is the template of the task.',
      default: ''
    },
    labelWords: {
      kind: 'text',
      label: 'Label words',
      help: 'What the model may answer, in the order of the labels, with | between them; empty is the words of the task.',
      default: ''
    },
    examples: {
      kind: 'integer',
      label: 'Examples in context',
      help: 'How many solved training examples stand in front of the question; more can show more, but each makes every answer slower.',
      default: 0,
      minimum: 0,
      maximum: 32
    },
    examplesSeed: {
      kind: 'integer',
      label: 'Draw',
      help: 'Decides which training examples these are; another number draws others.',
      default: 1,
      minimum: 0,
      maximum: 999_999
    }
  },
  defaults: { learningRate: 0, weightDecay: 0, source: 'Nothing is trained.' },
  initialParameters: () => Promise.resolve({}),
  adaptation: () => ({}),
  trainedShapes: () => ({})
}
