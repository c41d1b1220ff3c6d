// (IA)3 (Liu et al. 2022): one trained scale for every key and value, and for everything that the feed-forward layer takes back in.
import type * as tf from '@tensorflow/tfjs'
import type { DecoderLayout, Projection } from '../model/layout'
import type { Method } from './method'

export const ia3: Method = {
  id: 'ia3',
  title: '(IA)³',
  tier: 'more',
  summary: 'Freezes the model and learns to turn some of its inner signals up or down: fewer numbers than nearly any other method.',
  paper: {
    title: 'Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning',
    authors: 'Liu et al.',
    year: 2022,
    url: 'https://arxiv.org/abs/2205.05638'
  },
  trains: true,
  changesBase: false,
  options: {},
  defaults: {
    learningRate: 0.03,
    weightDecay: 0,
    source: 'Sweep over 0.01, 0.03 and 0.1 (docs/SWEEPS.md): the highest validation macro F1 on reviews (0.63) and headlines (0.49).'
  },

  initialParameters: ({ layout, tensor }) =>
    Promise.resolve(
      Object.fromEntries(
        scaledLayers(layout).map(({ path, shape }) => {
          const [rows, columns] = shape
          return [scaleName(path), tensor(new Float32Array(rows * columns).fill(1), shape)]
        })
      )
    ),

  // The shape tells which side is scaled, as in PEFT's files.
  adaptation(parameters) {
    const scaleOf = (path: string): tf.Tensor | undefined => parameters[scaleName(path)]
    return {
      linearInput(path, x) {
        const scale = scaleOf(path)
        return scale?.shape[0] === 1 ? x.mul(scale) : x
      },
      linear(path, _x, y) {
        const scale = scaleOf(path)
        return scale?.shape[1] === 1 ? y.mul(scale.reshape([1, -1])) : y
      }
    }
  },

  trainedShapes: ({ layout }) => Object.fromEntries(scaledLayers(layout).map(({ path, shape }) => [scaleName(path), shape]))
}

const scaleName = (path: string): string => `${path}.ia3_l`

/** Scaled linear layers: `[outputs, 1]` for what a layer gives, `[1, inputs]` for what it takes. A fused query, key and value is scaled whole, as PEFT does. */
export function scaledLayers({ layers }: DecoderLayout): { path: string; shape: [number, number] }[] {
  const output = ({ path, outputs }: Projection): { path: string; shape: [number, number] } => ({ path, shape: [outputs, 1] })
  return layers.flatMap(({ attention, down }) => [
    ...(attention.kind === 'fused' ? [attention.projection] : [attention.key, attention.value]).map(output),
    { path: down.path, shape: [1, down.inputs] as [number, number] }
  ])
}
