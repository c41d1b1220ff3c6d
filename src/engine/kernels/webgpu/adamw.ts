// One AdamW update in one dispatch.
import type * as tf from '@tensorflow/tfjs'
import type { AdamwInputs, AdamwState } from '../adamw'
import { empty } from './fused'
import { lanesFor, variants, type Lanes } from './program'
import { flatIndex, runner, WORKGROUP } from './run'

const UNIFORMS = {
  size: 'u32',
  learningRate: 'f32',
  beta1: 'f32',
  beta2: 'f32',
  epsilon: 'f32',
  keep: 'f32',
  firstCorrection: 'f32',
  secondCorrection: 'f32'
} as const

/** The update of one lane, from `p`, `m`, `v` and `g`; the corrections are 1 / (1 - beta^step), and `keep` is 1 - learningRate * weightDecay. */
const UPDATE = `let m = u.beta1 * oldM + (1.0 - u.beta1) * g;
let v = u.beta2 * oldV + (1.0 - u.beta2) * g * g;
let p = oldP * u.keep - u.learningRate * u.firstCorrection * m / (sqrt(v * u.secondCorrection) + Lane(u.epsilon));`

const newTensors = variants('adamw', (lanes: Lanes) => ({
  lanes,
  outputs: { parameter: 'Lane', firstMoment: 'Lane', secondMoment: 'Lane' },
  inputs: { oldParameter: 'Lane', oldFirstMoment: 'Lane', oldSecondMoment: 'Lane', gradient: 'Lane', scale: 'f32' },
  uniforms: UNIFORMS,
  workgroup: [WORKGROUP],
  main: `${flatIndex}
if (index >= u.size) { return; }
let g = gradient[index] * scale[0];
let oldM = oldFirstMoment[index];
let oldV = oldSecondMoment[index];
let oldP = oldParameter[index];
${UPDATE}
firstMoment[index] = m;
secondMoment[index] = v;
parameter[index] = p;`
}))

/** In place, and not at all where the scale is infinite or no number: its exponent tells, since shaders may assume that neither occurs. */
const sameTensors = variants('adamwInPlace', (lanes: Lanes) => ({
  lanes,
  outputs: { parameter: 'Lane', firstMoment: 'Lane', secondMoment: 'Lane' },
  inputs: { gradient: 'Lane', scale: 'f32' },
  uniforms: UNIFORMS,
  workgroup: [WORKGROUP],
  main: `${flatIndex}
if (index >= u.size || (bitcast<u32>(scale[0]) & 0x7f800000u) == 0x7f800000u) { return; }
let g = gradient[index] * scale[0];
let oldM = firstMoment[index];
let oldV = secondMoment[index];
let oldP = parameter[index];
${UPDATE}
firstMoment[index] = m;
secondMoment[index] = v;
parameter[index] = p;`
}))

/** `adamw` in one dispatch; see `../adamw`. */
export function adamwFused(inputs: AdamwInputs): AdamwState {
  const { parameter, gradient, firstMoment, secondMoment, gradientScale, learningRate, beta1, beta2, epsilon, weightDecay, step } = inputs
  const run = runner()
  const lanes = lanesFor(parameter.size)
  const dispatch = {
    uniforms: [
      parameter.size / lanes,
      learningRate,
      beta1,
      beta2,
      epsilon,
      1 - learningRate * weightDecay,
      1 / (1 - beta1 ** step),
      1 / (1 - beta2 ** step)
    ],
    groups: run.grid(parameter.size / lanes),
    fleeting: true
  }
  const old: tf.Tensor[] = [parameter, firstMoment, secondMoment]
  if (inputs.overwrite) {
    run.run(sameTensors(lanes), { ...dispatch, outputs: old, inputs: [gradient, gradientScale] })
    return { parameter: parameter.clone(), firstMoment: firstMoment.clone(), secondMoment: secondMoment.clone() }
  }
  const state = { parameter: empty(parameter.shape), firstMoment: empty(parameter.shape), secondMoment: empty(parameter.shape) }
  run.run(newTensors(lanes), {
    ...dispatch,
    outputs: [state.parameter, state.firstMoment, state.secondMoment],
    inputs: [...old, gradient, gradientScale]
  })
  return state
}
