// BitFit (Zaken et al. 2022): the biases are trained and nothing else; where a model has none, the scales of its norms.
import { weightShapes } from '../model/layout'
import { copiesOf, replacing, shapesOf } from './copies'
import type { BaseShape, Method } from './method'

export const biases: Method = {
  id: 'biases',
  title: 'Biases',
  tier: 'more',
  summary: 'Trains only the small offsets that the model adds inside its layers, or the scales of its norms where it has no offsets.',
  paper: {
    title: 'BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked Language-models',
    authors: 'Zaken, Goldberg and Ravfogel',
    year: 2022,
    url: 'https://arxiv.org/abs/2106.10199'
  },
  trains: true,
  changesBase: true,
  options: {},
  defaults: {
    learningRate: 0.03,
    weightDecay: 0,
    source:
      'Sweep over 3e-3 to 0.1 (docs/SWEEPS.md): the highest validation macro F1 on reviews (0.64) and headlines (0.51); 0.01 forgets half as much.'
  },
  initialParameters: (context) => Promise.resolve(copiesOf(trainedNames(context), context)),
  adaptation: replacing,
  trainedShapes: (base) => shapesOf(trainedNames(base), base)
}

function trainedNames({ config, layout }: BaseShape): string[] {
  const shapes = Object.entries(weightShapes(config, layout))
  const offsets = shapes.filter(([name]) => name.endsWith('.bias'))
  // Of what is called a weight, only the norms' have one dimension.
  const scales = shapes.filter(([, shape]) => shape.length === 1)
  return (offsets.length > 0 ? offsets : scales).map(([name]) => name)
}
