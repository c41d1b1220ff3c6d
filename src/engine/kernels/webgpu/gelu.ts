// Both forms of GELU and their gradients, element by element.
import type * as tf from '@tensorflow/tfjs'
import type { GeluForm } from '../gelu'
import { empty, fused } from './fused'
import { lanesFor, variants, type Lanes } from './program'
import { flatIndex, WORKGROUP } from './run'

/**
 * `bend(x)`, between -1 and 1, and its derivative, so that gelu is x (1 + bend) / 2. The error function by Abramowitz and Stegun 7.1.26 (absolute error
 * 1.5e-7). The argument of tanh is bounded: beyond 10 it is 1 in float32, and some drivers make infinity over infinity of more.
 */
const BEND: Record<GeluForm, string> = {
  erf: `fn bend(x: Lane) -> Lane {
  let z = abs(x) * ${Math.SQRT1_2};
  let t = Lane(1.0) / (Lane(1.0) + 0.3275911 * z);
  let series = ((((1.061405429 * t - Lane(1.453152027)) * t + Lane(1.421413741)) * t - Lane(0.284496736)) * t + Lane(0.254829592)) * t;
  return sign(x) * (Lane(1.0) - series * exp(-z * z));
}
fn slope(x: Lane) -> Lane { return ${Math.sqrt(2 / Math.PI)} * exp(-0.5 * x * x); }`,
  tanh: `fn bend(x: Lane) -> Lane {
  return tanh(clamp(${Math.sqrt(2 / Math.PI)} * x * (Lane(1.0) + 0.044715 * x * x), Lane(-10.0), Lane(10.0)));
}
fn slope(x: Lane) -> Lane {
  let b = bend(x);
  return (Lane(1.0) - b * b) * ${Math.sqrt(2 / Math.PI)} * (Lane(1.0) + ${3 * 0.044715} * x * x);
}`
}

const forwardProgram = variants('gelu', (lanes: Lanes, form: GeluForm) => ({
  lanes,
  outputs: { output: 'Lane' },
  inputs: { x: 'Lane' },
  uniforms: { size: 'u32' },
  workgroup: [WORKGROUP],
  declarations: BEND[form],
  main: `${flatIndex}
if (index >= u.size) { return; }
output[index] = 0.5 * x[index] * (Lane(1.0) + bend(x[index]));`
}))

const gradientProgram = variants('geluGradient', (lanes: Lanes, form: GeluForm) => ({
  lanes,
  outputs: { output: 'Lane' },
  inputs: { x: 'Lane', dy: 'Lane' },
  uniforms: { size: 'u32' },
  workgroup: [WORKGROUP],
  declarations: BEND[form],
  main: `${flatIndex}
if (index >= u.size) { return; }
let v = x[index];
output[index] = dy[index] * 0.5 * (Lane(1.0) + bend(v) + v * slope(v));`
}))

const operation = fused<{ form: GeluForm }>({
  name: 'FusedGelu',
  saved: ['x'],
  shape: ({ x }) => (x as tf.Tensor).shape,
  forward: (run, output, inputs, { form }) => {
    const x = inputs.x as tf.Tensor
    const lanes = lanesFor(x.size)
    run.run(forwardProgram(lanes, form), { outputs: [output], inputs: [x], uniforms: [x.size / lanes], groups: run.grid(x.size / lanes) })
  },
  gradient: (run, dy, inputs, { form }) => ({
    x: () => {
      const lanes = lanesFor(dy.size)
      const output = empty(dy.shape)
      run.run(gradientProgram(lanes, form), {
        outputs: [output],
        inputs: [inputs.x as tf.Tensor, dy],
        uniforms: [dy.size / lanes],
        groups: run.grid(dy.size / lanes)
      })
      return output
    }
  })
})

/** `gelu` in one dispatch; see `../gelu`. */
export function geluFused(x: tf.Tensor2D, form: GeluForm): tf.Tensor2D {
  return operation({ x }, { form }) as tf.Tensor2D
}
