// Rotary position embedding of queries and keys together; its gradient is the same turn backwards.
import type * as tf from '@tensorflow/tfjs'
import type { RotaryShape, RotaryTable } from '../rotary'
import { empty, fusedMany, once } from './fused'
import { lanesFor, unroll, variants, type Lanes } from './program'
import { flatIndex, WORKGROUP, type Runner } from './run'

/** A thread turns one pair (in lanes) of one head of states `group.z`, or copies one lane of those that do not turn. */
const program = variants('rotary', (lanes: Lanes, count: number) => {
  const each = <Type extends string>(stem: string, type: Type): [string, Type][] =>
    Array.from({ length: count }, (_, at) => [`${stem}${at}`, type])
  return {
    lanes,
    outputs: Object.fromEntries(each('output', 'Lane')),
    inputs: Object.fromEntries([...each('x', 'Lane'), ['cosine', 'Lane'], ['sine', 'Lane']]) as Record<string, 'Lane'>,
    uniforms: {
      time: 'u32',
      front: 'u32',
      headSize: 'u32',
      half: 'u32',
      offset: 'u32',
      direction: 'f32',
      ...Object.fromEntries([...each('items', 'u32'), ...each('heads', 'u32')])
    } as Record<string, 'u32' | 'f32'>,
    workgroup: [WORKGROUP],
    main: `${flatIndex}
let perHead = u.headSize - u.half;
let pair = index % perHead;
let head = index / perHead;
let first = head * u.headSize + pair;
let second = first + u.half;
switch group.z {
${unroll(
  count,
  (n) => `${n === count - 1 ? 'default' : `case ${n}u`}: {
if (index >= u.items${n}) { return; }
if (pair >= u.half) {
output${n}[second] = x${n}[second];
return;
}
let row = head / u.heads${n};
let place = select(u.front + (row - u.front) % u.time, row, row < u.front);
let angle = (u.offset + place) * u.half + pair;
let c = cosine[angle];
let s = sine[angle] * u.direction;
let a = x${n}[first];
let b = x${n}[second];
output${n}[first] = a * c - b * s;
output${n}[second] = b * c + a * s;
}`
)}
}`
  }
})

type Shape = Omit<RotaryShape, 'heads'> & { heads: readonly number[] }

function turn(
  run: Runner,
  outputs: readonly tf.TensorInfo[],
  states: readonly tf.TensorInfo[],
  table: RotaryTable,
  shape: Shape,
  direction: 1 | -1
): void {
  const { time, heads, headSize, dimensions, offset, shared = 0 } = shape
  const half = dimensions / 2
  const lanes = lanesFor(half) === 4 ? lanesFor(headSize) : 1
  const items = heads.map((count, at) => (states[at]!.shape[0]! * count * (headSize - half)) / lanes)
  run.run(program(lanes, states.length), {
    outputs,
    inputs: [...states, table.cosine, table.sine],
    uniforms: [time - shared, shared, headSize / lanes, half / lanes, offset, direction, ...items, ...heads],
    groups: [...run.grid(Math.max(...items)), states.length]
  })
}

const statesOf = (inputs: tf.NamedTensorMap, { heads }: Shape): tf.Tensor[] => heads.map((_, at) => inputs[`x${at}`] as tf.Tensor)

const operation = fusedMany<Shape>({
  name: 'FusedRotary',
  saved: ['cosine', 'sine'],
  shapes: (inputs, shape) => statesOf(inputs, shape).map((x) => x.shape),
  forward: (run, outputs, inputs, shape) => turn(run, outputs, statesOf(inputs, shape), inputs as unknown as RotaryTable, shape, 1),
  gradient: (run, dys, saved, shape) => {
    const gradients = dys.map((dy) => empty(dy.shape))
    const fill = once(() => turn(run, gradients, dys, saved as unknown as RotaryTable, shape, -1))
    return Object.fromEntries(
      gradients.map((gradient, at) => [
        `x${at}`,
        () => {
          fill()
          return gradient
        }
      ])
    )
  }
})

/** `rotary` in one dispatch, its gradients in another; see `../rotary`. */
export function rotaryFused(states: readonly tf.Tensor2D[], table: RotaryTable, shape: Shape): tf.Tensor2D[] {
  return operation({ ...Object.fromEntries(states.map((x, at) => [`x${at}`, x])), ...table }, shape) as tf.Tensor2D[]
}
