// Rotary position embedding; its gradient is the same turn backwards.
import type * as tf from '@tensorflow/tfjs'
import type { RotaryShape, RotaryTable } from '../rotary'
import { empty, fused } from './fused'
import { lanesFor, variants, type Lanes } from './program'
import { flatIndex, WORKGROUP, type Runner } from './run'

/** A thread turns one pair (in lanes) of one head, or copies one lane of those that do not turn. */
const program = variants('rotary', (lanes: Lanes) => ({
  lanes,
  outputs: { output: 'Lane' },
  inputs: { x: 'Lane', cosine: 'Lane', sine: 'Lane' },
  uniforms: { items: 'u32', time: 'u32', heads: 'u32', headSize: 'u32', half: 'u32', offset: 'u32', direction: 'f32' },
  workgroup: [WORKGROUP],
  main: `${flatIndex}
if (index >= u.items) { return; }
let perHead = u.headSize - u.half;
let pair = index % perHead;
let head = index / perHead;
let first = head * u.headSize + pair;
let second = first + u.half;
if (pair >= u.half) {
output[second] = x[second];
return;
}
let angle = (u.offset + (head / u.heads) % u.time) * u.half + pair;
let c = cosine[angle];
let s = sine[angle] * u.direction;
let a = x[first];
let b = x[second];
output[first] = a * c - b * s;
output[second] = b * c + a * s;`
}))

function turn(run: Runner, output: tf.TensorInfo, x: tf.Tensor, table: RotaryTable, shape: RotaryShape, direction: 1 | -1): void {
  const { batch, time, heads, headSize, dimensions, offset } = shape
  const half = dimensions / 2
  const lanes = lanesFor(half) === 4 ? lanesFor(headSize) : 1
  const items = (batch * time * heads * (headSize - half)) / lanes
  run.run(program(lanes), {
    outputs: [output],
    inputs: [x, table.cosine, table.sine],
    uniforms: [items, time, heads, headSize / lanes, half / lanes, offset, direction],
    groups: run.grid(items)
  })
}

const operation = fused<RotaryShape>({
  name: 'FusedRotary',
  saved: ['cosine', 'sine'],
  shape: ({ x }) => (x as tf.Tensor).shape,
  forward: (run, output, { x, cosine, sine }, shape) =>
    turn(run, output, x as tf.Tensor, { cosine, sine } as unknown as RotaryTable, shape, 1),
  gradient: (run, dy, { cosine, sine }, shape) => ({
    x: () => {
      const output = empty(dy.shape)
      turn(run, output, dy, { cosine, sine } as unknown as RotaryTable, shape, -1)
      return output
    }
  })
})

/** `rotary` in one dispatch; see `../rotary`. */
export function rotaryFused(x: tf.Tensor2D, table: RotaryTable, shape: RotaryShape): tf.Tensor2D {
  return operation({ x, ...table }, shape) as tf.Tensor2D
}
