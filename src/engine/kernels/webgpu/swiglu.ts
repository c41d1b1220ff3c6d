// The gated activation and both of its gradients, element by element.
import type * as tf from '@tensorflow/tfjs'
import { empty, fused, once } from './fused'
import { lanesFor, variants, type Lanes } from './program'
import { flatIndex, WORKGROUP } from './run'

/** The sigmoid is written so that its exponential underflows to zero at one end and overflows to infinity, hence to zero, at the other. */
const SIGMOID = 'fn sigmoid(v: Lane) -> Lane { return Lane(1.0) / (Lane(1.0) + exp(-v)); }'

const forwardProgram = variants('swiglu', (lanes: Lanes) => ({
  lanes,
  outputs: { output: 'Lane' },
  inputs: { gate: 'Lane', up: 'Lane' },
  uniforms: { size: 'u32' },
  workgroup: [WORKGROUP],
  declarations: SIGMOID,
  main: `${flatIndex}
if (index >= u.size) { return; }
output[index] = gate[index] * sigmoid(gate[index]) * up[index];`
}))

/** Where gate and up are read by nothing else, their gradients take their places: the widest tensors of a layer are then there once, not twice. */
const gradientProgram = variants('swigluGradient', (lanes: Lanes, inPlace: boolean) => ({
  lanes,
  outputs: { gateGradient: 'Lane', upGradient: 'Lane' },
  inputs: { ...(inPlace ? {} : { gate: 'Lane' as const, up: 'Lane' as const }), dy: 'Lane' },
  uniforms: { size: 'u32' },
  workgroup: [WORKGROUP],
  declarations: SIGMOID,
  main: `${flatIndex}
if (index >= u.size) { return; }
let g = ${inPlace ? 'gateGradient' : 'gate'}[index];
let s = sigmoid(g);
let d = dy[index];
gateGradient[index] = d * ${inPlace ? 'upGradient' : 'up'}[index] * s * (Lane(1.0) + g * (Lane(1.0) - s));
upGradient[index] = d * g * s;`
}))

const operation = fused<Record<string, never>>({
  name: 'FusedSwiglu',
  saved: ['gate', 'up'],
  shape: ({ gate }) => (gate as tf.Tensor).shape,
  forward: (run, output, { gate, up }) => {
    const { size } = gate as tf.Tensor
    const lanes = lanesFor(size)
    run.run(forwardProgram(lanes), {
      outputs: [output],
      inputs: [gate as tf.Tensor, up as tf.Tensor],
      uniforms: [size / lanes],
      groups: run.grid(size / lanes)
    })
  },
  gradient: (run, dy, { gate, up }) => {
    const lanes = lanesFor(dy.size)
    const read = [gate as tf.Tensor, up as tf.Tensor]
    const inPlace = read.every((tensor) => run.isSole(tensor))
    const [dGate, dUp] = read.map((tensor) => (inPlace ? tensor.clone() : empty(dy.shape))) as [tf.Tensor, tf.Tensor]
    const fill = once(() =>
      run.run(gradientProgram(lanes, inPlace), {
        outputs: [dGate, dUp],
        inputs: [...(inPlace ? [] : read), dy],
        uniforms: [dy.size / lanes],
        groups: run.grid(dy.size / lanes)
      })
    )
    return {
      gate: () => {
        fill()
        return dGate
      },
      up: () => {
        fill()
        return dUp
      }
    }
  }
})

/** `swiglu` in one dispatch, both gradients in another; see `../swiglu`. */
export function swigluFused(gate: tf.Tensor2D, up: tf.Tensor2D): tf.Tensor2D {
  return operation({ gate, up }, {}) as tf.Tensor2D
}
