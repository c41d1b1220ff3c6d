// AdamW in place over many tensors, several to a dispatch; the moments of those lie side by side in one buffer.
import * as tf from '@tensorflow/tfjs'
import type { Moments, Optimiser, OptimiserSettings, TrainedTensor, UpdateInputs } from '../optimiser'
import { empty } from './fused'
import { clipByGlobalNorm, evenly } from './globalNorm'
import { lanesFor, unroll, variants, type Lanes } from './program'
import { runner, WORKGROUP } from './run'
import { endUniforms, findShare, shareWorkgroups } from './shares'

/** Workgroups to a tensor, at most; their threads stride over it, and take so many lanes at least. */
const SHARE = { hardware: { least: 1, most: 2048 }, software: { least: 16, most: 256 } } as const

/** Where the moments of a dispatch lie: joined in one buffer, or, where a tensor's are too long for one, each in its own. */
type Layout = 'joined' | 'apart'

const MOMENT_BUFFERS: Record<Layout, readonly string[]> = { joined: ['moments'], apart: ['firstMoments', 'secondMoments'] }

/**
 * A workgroup updates a share of one tensor. `control[0]` holds the scale of all gradients and whether there is an update at all; each tensor
 * finds its part's learning rate, `1 - learningRate * weightDecay` and `1 / (1 - beta^step)` of both moments in its row, zeros where it is frozen.
 */
const program = variants('adamw', (lanes: Lanes, count: number, layout: Layout) => {
  const each = <Type extends string>(stem: string, type: Type): [string, Type][] =>
    Array.from({ length: count }, (_, at) => [`${stem}${at}`, type])
  const buffers = MOMENT_BUFFERS[layout]
  const [first, second] = [buffers[0] as string, buffers[buffers.length - 1] as string]
  return {
    lanes,
    outputs: Object.fromEntries([...each('parameter', 'Lane'), ...buffers.map((name): [string, 'Lane'] => [name, 'Lane'])]),
    inputs: Object.fromEntries([...each('gradient', 'Lane'), ['control', 'vec4<f32>']]) as Record<string, 'Lane' | 'vec4<f32>'>,
    uniforms: {
      beta1: 'f32',
      beta2: 'f32',
      epsilon: 'f32',
      ...Object.fromEntries(['size', 'first', 'second', 'row'].flatMap((stem) => each(stem, 'u32'))),
      ...endUniforms(count)
    } as Record<string, 'f32' | 'u32'>,
    workgroup: [WORKGROUP],
    main: `if (control[0].y == 0.0) { return; }
let scale = control[0].x;
${findShare(count)}
switch tensor {
${unroll(
  count,
  (n) => `${n === count - 1 ? 'default' : `case ${n}u`}: {
let rate = control[u.row${n}];
if (rate.z == 0.0) { return; }
for (var at = begin; at < u.size${n}; at += stride) {
  let g = gradient${n}[at] * scale;
  let m = u.beta1 * ${first}[u.first${n} + at] + (1.0 - u.beta1) * g;
  let v = u.beta2 * ${second}[u.second${n} + at] + (1.0 - u.beta2) * g * g;
  ${first}[u.first${n} + at] = m;
  ${second}[u.second${n} + at] = v;
  parameter${n}[at] = parameter${n}[at] * rate.y - rate.x * rate.z * m / (sqrt(v * rate.w) + Lane(u.epsilon));
}
}`
)}
}`
  }
})

/** A tensor within a group: `first` and `second` are where its moments begin, in numbers. */
interface Member {
  at: number
  parameter: tf.Tensor
  part: number
  first: number
  second: number
}

/** What one dispatch updates. */
interface Group {
  members: Member[]
  lanes: Lanes
  layout: Layout
  /** One `[numbers]` float32 tensor for each buffer of the layout. */
  moments: tf.Tensor[]
}

export class FusedOptimiser implements Optimiser {
  readonly inPlace = true
  readonly parameters: readonly tf.Tensor[]
  readonly #settings: OptimiserSettings
  readonly #groups: Group[]

  constructor(tensors: readonly TrainedTensor[], settings: OptimiserSettings) {
    this.parameters = tensors.map(({ parameter }) => parameter)
    this.#settings = settings
    this.#groups = groupsOf(tensors)
  }

  /** Norm, clipping and update in one queue, in place. Where loss or norm is not finite, the device leaves everything as it is. */
  update({ loss, gradients, rates }: UpdateInputs): tf.Tensor1D {
    const run = runner()
    const measured = empty([2]) as tf.Tensor1D
    const parts = rates.byPart.length
    const control = run.allocate([parts + 1, 4])
    const uploaded = run.upload(rates.values)
    const clip = { control, measured, loss, rates: { ...uploaded, shape: [parts, 4] } }
    clipByGlobalNorm(
      run,
      gradients.filter((gradient) => gradient !== undefined),
      this.#settings.clipNorm,
      clip
    )
    const { least, most } = SHARE[run.software ? 'software' : 'hardware']
    const { beta1, beta2, epsilon } = this.#settings
    for (const { members, lanes, layout, moments } of this.#groups) {
      // A frozen tensor's gradient is not read; something must be bound in its place.
      const some = members.map(({ at }) => gradients[at])
      const present = some.find((gradient) => gradient !== undefined)
      if (!present) continue
      const sizes = members.map(({ parameter }) => parameter.size / lanes)
      const { ends, total } = shareWorkgroups(sizes, least, most)
      run.run(program(lanes, members.length, layout), {
        outputs: [...members.map(({ parameter }) => parameter), ...moments],
        inputs: [...some.map((gradient) => gradient ?? present), control],
        uniforms: [
          beta1,
          beta2,
          epsilon,
          ...sizes,
          ...members.map(({ first }) => first / lanes),
          ...members.map(({ second }) => second / lanes),
          ...members.map(({ part }) => part + 1),
          ...ends
        ],
        groups: [total]
      })
    }
    run.free(control, uploaded)
    return measured
  }

  commit(): void {
    // The device has made the update already.
  }

  async moments(): Promise<Moments[]> {
    const found: Moments[] = []
    for (const { members, moments } of this.#groups) {
      const buffers = (await Promise.all(moments.map((tensor) => tensor.data()))) as Float32Array[]
      const [firsts, seconds] = [buffers[0] as Float32Array, buffers[buffers.length - 1] as Float32Array]
      for (const { at, parameter, first, second } of members) {
        found[at] = { first: firsts.slice(first, first + parameter.size), second: seconds.slice(second, second + parameter.size) }
      }
    }
    return found
  }

  dispose(): void {
    tf.dispose([...this.parameters, ...this.#groups.flatMap(({ moments }) => moments)])
    this.#groups.length = 0
  }
}

/** Tensors of like size share a dispatch: as many as the device binds with their gradients, and as their moments fit into one binding. */
function groupsOf(tensors: readonly TrainedTensor[]): Group[] {
  const { maxStorageBuffersPerShaderStage: buffers, maxStorageBufferBindingSize: bytes } = runner().device.limits
  // Beside them the moments and the control are bound.
  const most = Math.floor((buffers - 2) / 2)
  const momentBytes = ({ parameter }: TrainedTensor): number => 2 * 4 * parameter.size
  const groups: Group[] = []
  for (const lanes of [4, 1] as const) {
    const alike = tensors
      .map((tensor, at) => ({ ...tensor, at }))
      .filter(({ parameter }) => lanesFor(parameter.size) === lanes)
      .sort((a, b) => b.parameter.size - a.parameter.size)
    const large = alike.filter((tensor) => most * momentBytes(tensor) > bytes)
    const rest = alike.slice(large.length)
    for (const some of [...large.map((tensor) => [tensor]), ...evenly(rest, most)]) {
      groups.push(groupOf(some, lanes, some.length === 1 && momentBytes(some[0]!) > bytes ? 'apart' : 'joined'))
    }
  }
  return groups
}

function groupOf(tensors: readonly (TrainedTensor & { at: number })[], lanes: Lanes, layout: Layout): Group {
  let length = 0
  const members = tensors.map(({ parameter, part, at }) => {
    const first = length
    length += (layout === 'joined' ? 2 : 1) * parameter.size
    return { at, parameter, part, first, second: layout === 'joined' ? first + parameter.size : 0 }
  })
  const buffers = MOMENT_BUFFERS[layout].length
  if (!tensors.some(({ moments }) => moments)) {
    return { members, lanes, layout, moments: Array.from({ length: buffers }, () => tf.fill([length], 0)) }
  }
  const values = Array.from({ length: buffers }, () => new Float32Array(length))
  members.forEach(({ first, second }, at) => {
    const { moments } = tensors[at]!
    if (!moments) return
    values[0]!.set(moments.first, first)
    values[buffers - 1]!.set(moments.second, second)
  })
  return { members, lanes, layout, moments: values.map((buffer) => tf.tensor1d(buffer)) }
}
