// Layer normalisation and its gradients, row by row.
import type * as tf from '@tensorflow/tfjs'
import { takeGradientSoFar } from '../gradients'
import { columnSumProgram, columnSums } from './columnSums'
import { empty, fused } from './fused'
import { gradientOfBias } from './linear'
import { lanesFor, variants, type Lanes } from './program'
import { addSoFar, ROW_PROGRAMS, rowGroups, rowOwner, type RowOwner } from './rows'

/** The variance is summed over centred values, since squares less the squared mean would cancel. `statistics` keeps mean and 1 / deviation. */
const forwardProgram = variants('layerNorm', (lanes: Lanes, owner: RowOwner) => {
  const { workgroup, declarations, ownRow, overRow, overLanes, first } = ROW_PROGRAMS[owner]
  return {
    lanes,
    outputs: { output: 'Lane', statistics: 'vec2<f32>' },
    inputs: { x: 'Lane', weight: 'Lane', bias: 'Lane' },
    uniforms: { rows: 'u32', width: 'u32', size: 'f32', epsilon: 'f32' },
    workgroup,
    declarations,
    main: `${ownRow}
var sum = 0.0;
${overLanes('sum += total(x[at]);')}
let mean = ${overRow('vec2<f32>(sum, 0.0)')}.x / u.size;
var squares = 0.0;
${overLanes('let centred = x[at] - Lane(mean);\nsquares += total(centred * centred);')}
let scale = inverseSqrt(${overRow('vec2<f32>(squares, 0.0)')}.x / u.size + u.epsilon);
${overLanes('output[at] = (x[at] - Lane(mean)) * scale * weight[lane] + bias[lane];')}
if (${first}) { statistics[row] = vec2<f32>(mean, scale); }`
  }
})

/** `dx = r (w dy - mean(w dy) - n mean(w dy n))`, with n the normalised x. */
const inputGradientProgram = variants('layerNormInputGradient', (lanes: Lanes, owner: RowOwner) => {
  const { workgroup, declarations, ownRow, overRow, overLanes } = ROW_PROGRAMS[owner]
  return {
    lanes,
    outputs: { output: 'Lane' },
    inputs: { x: 'Lane', weight: 'Lane', statistics: 'vec2<f32>', dy: 'Lane', soFar: 'Lane' },
    uniforms: { rows: 'u32', width: 'u32', size: 'f32', hasSoFar: 'u32' },
    workgroup,
    declarations,
    main: `${ownRow}
let known = statistics[row];
var sums = vec2<f32>();
${overLanes(`let slope = dy[at] * weight[lane];
sums += vec2<f32>(total(slope), total(slope * (x[at] - Lane(known.x)) * known.y));`)}
let means = ${overRow('sums')} / u.size;
${overLanes(`output[at] = (dy[at] * weight[lane] - Lane(means.x) - (x[at] - Lane(known.x)) * known.y * means.y) * known.y;
${addSoFar}`)}`
  }
})

const weightGradientProgram = columnSumProgram(
  'layerNormWeightGradient',
  { x: 'Lane', dy: 'Lane', statistics: 'vec2<f32>' },
  'dy[row * u.width + lane] * (x[row * u.width + lane] - Lane(statistics[row].x)) * statistics[row].y'
)

type Tensors = Record<'x' | 'weight' | 'bias' | 'statistics', tf.Tensor>

const operation = fused<{ epsilon: number }>({
  name: 'FusedLayerNorm',
  saved: { x: ['x', 'weight'], weight: ['x'], statistics: ['x', 'weight'] },
  shape: ({ x }) => (x as tf.Tensor).shape,
  scratch: ({ x }) => ({ statistics: [(x as tf.Tensor).shape[0] as number, 2] }),
  forward: (run, output, inputs, { epsilon }) => {
    const { x, weight, bias, statistics } = inputs as Tensors
    const [rows, width] = x.shape as [number, number]
    const lanes = lanesFor(width)
    run.run(forwardProgram(lanes, rowOwner(run)), {
      outputs: [output, statistics],
      inputs: [x, weight, bias],
      uniforms: [rows, width / lanes, width, epsilon],
      groups: rowGroups(run, x)
    })
  },
  gradient: (run, dy, inputs) => {
    const { x, weight, statistics } = inputs as Tensors
    // By dy: where the bias alone is trained, x is not kept.
    const [rows, width] = dy.shape as [number, number]
    const lanes = lanesFor(width)
    return {
      x: () => {
        const output = empty(dy.shape)
        const soFar = takeGradientSoFar()
        run.run(inputGradientProgram(lanes, rowOwner(run)), {
          outputs: [output],
          inputs: [x, weight, statistics, dy, soFar ?? dy],
          uniforms: [rows, width / lanes, width, soFar ? 1 : 0],
          groups: rowGroups(run, x)
        })
        return output
      },
      weight: () => {
        const output = empty([width])
        columnSums(run, weightGradientProgram, output, [x, dy, statistics], rows, width)
        return output
      },
      bias: () => gradientOfBias(run, dy)
    }
  }
})

/** `layerNorm` in one dispatch; see `../layerNorm`. */
export function layerNormFused(x: tf.Tensor2D, weight: tf.Tensor1D, bias: tf.Tensor1D, epsilon: number): tf.Tensor2D {
  return operation({ x, weight, bias }, { epsilon }) as tf.Tensor2D
}
