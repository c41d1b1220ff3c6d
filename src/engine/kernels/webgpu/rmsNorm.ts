// Root-mean-square normalisation and its gradients, row by row.
import type * as tf from '@tensorflow/tfjs'
import { takeGradientSoFar } from '../gradients'
import { columnSumProgram, columnSums } from './columnSums'
import { empty, fused } from './fused'
import { lanesFor, variants, type Lanes } from './program'
import { addSoFar, ROW_PROGRAMS, rowGroups, rowOwner, type RowOwner } from './rows'

const UNIFORMS = { rows: 'u32', width: 'u32', size: 'f32', epsilon: 'f32' } as const

/** One read for the mean square, one to scale. `inverse` keeps 1 / root mean square of each row for the gradients. */
const forwardProgram = variants('rmsNorm', (lanes: Lanes, owner: RowOwner) => {
  const { workgroup, declarations, ownRow, overRow, overLanes, first } = ROW_PROGRAMS[owner]
  return {
    lanes,
    outputs: { output: 'Lane', inverse: 'f32' },
    inputs: { x: 'Lane', weight: 'Lane' },
    uniforms: UNIFORMS,
    workgroup,
    declarations,
    main: `${ownRow}
var squares = 0.0;
${overLanes('squares += total(x[at] * x[at]);')}
let scale = inverseSqrt(${overRow('vec2<f32>(squares, 0.0)')}.x / u.size + u.epsilon);
${overLanes('output[at] = x[at] * scale * weight[lane];')}
if (${first}) { inverse[row] = scale; }`
  }
})

/** `dx = r w dy - x r^3 mean(w dy x)`, with r the saved inverse. */
const inputGradientProgram = variants('rmsNormInputGradient', (lanes: Lanes, owner: RowOwner) => {
  const { workgroup, declarations, ownRow, overRow, overLanes } = ROW_PROGRAMS[owner]
  return {
    lanes,
    outputs: { output: 'Lane' },
    inputs: { x: 'Lane', weight: 'Lane', inverse: 'f32', dy: 'Lane', soFar: 'Lane' },
    uniforms: { rows: 'u32', width: 'u32', size: 'f32', hasSoFar: 'u32' },
    workgroup,
    declarations,
    main: `${ownRow}
var products = 0.0;
${overLanes('products += total(x[at] * dy[at] * weight[lane]);')}
let scale = inverse[row];
let pull = ${overRow('vec2<f32>(products, 0.0)')}.x * scale * scale * scale / u.size;
${overLanes(`output[at] = dy[at] * weight[lane] * scale - x[at] * pull;
${addSoFar}`)}`
  }
})

const weightGradientProgram = columnSumProgram(
  'rmsNormWeightGradient',
  { x: 'Lane', dy: 'Lane', inverse: 'f32' },
  'dy[row * u.width + lane] * x[row * u.width + lane] * inverse[row]'
)

type Tensors = Record<'x' | 'weight' | 'inverse', tf.Tensor>

const operation = fused<{ epsilon: number }>({
  name: 'FusedRmsNorm',
  saved: { x: ['x', 'weight'], weight: ['x'], inverse: ['x', 'weight'] },
  shape: ({ x }) => (x as tf.Tensor).shape,
  scratch: ({ x }) => ({ inverse: [(x as tf.Tensor).shape[0] as number] }),
  forward: (run, output, inputs, { epsilon }) => {
    const { x, weight, inverse } = inputs as Tensors
    const [rows, width] = x.shape as [number, number]
    const lanes = lanesFor(width)
    run.run(forwardProgram(lanes, rowOwner(run)), {
      outputs: [output, inverse],
      inputs: [x, weight],
      uniforms: [rows, width / lanes, width, epsilon],
      groups: rowGroups(run, x)
    })
  },
  gradient: (run, dy, inputs) => {
    const { x, weight, inverse } = inputs as Tensors
    const [rows, width] = x.shape as [number, number]
    const lanes = lanesFor(width)
    return {
      x: () => {
        const output = empty(x.shape)
        const soFar = takeGradientSoFar()
        run.run(inputGradientProgram(lanes, rowOwner(run)), {
          outputs: [output],
          inputs: [x, weight, inverse, dy, soFar ?? dy],
          uniforms: [rows, width / lanes, width, soFar ? 1 : 0],
          groups: rowGroups(run, x)
        })
        return output
      },
      weight: () => {
        const output = empty([width])
        columnSums(run, weightGradientProgram, output, [x, dy, inverse], rows, width)
        return output
      }
    }
  }
})

/** `rmsNorm` in one dispatch; see `../rmsNorm`. */
export function rmsNormFused(x: tf.Tensor2D, weight: tf.Tensor1D, epsilon: number): tf.Tensor2D {
  return operation({ x, weight }, { epsilon }) as tf.Tensor2D
}
