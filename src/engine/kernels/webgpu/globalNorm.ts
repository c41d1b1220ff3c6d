// The norm of many tensors in a few dispatches (several tensors to each, then one that joins the sums), and what follows from it for the update.
import type * as tf from '@tensorflow/tfjs'
import { lanesFor, variants, type Lanes } from './program'
import { WORKGROUP, type Runner } from './run'
import { endUniforms, findShare, shareWorkgroups, type Shares } from './shares'

/** Workgroups to a tensor, at most: enough to read the largest at full speed, few enough to be joined by one. */
const GROUPS = 128

/** Lanes of a thread below which another workgroup is not worth while. */
const LEAST = 32

/** A workgroup sums the squares of a share of one tensor; its threads stride over that, and the first joins their sums. */
const partialProgram = variants('squareSums', (lanes: Lanes, count: number) => {
  const names = Array.from({ length: count }, (_, at) => `tensor${at}`)
  return {
    lanes,
    outputs: { sums: 'f32' },
    inputs: Object.fromEntries(names.map((name) => [name, 'Lane' as const])),
    uniforms: { place: 'u32', ...Object.fromEntries(names.map((name) => [`${name}Size`, 'u32' as const])), ...endUniforms(count) },
    workgroup: [WORKGROUP],
    declarations: `var<workgroup> partial: array<f32, ${WORKGROUP}>;`,
    main: `var sum = 0.0;
${findShare(count)}
switch tensor {
${names
  .map(
    (name, at) => `${at === count - 1 ? 'default' : `case ${at}u`}: {
for (var at = begin; at < u.${name}Size; at += stride) { sum += total(${name}[at] * ${name}[at]); }
}`
  )
  .join('\n')}
}
partial[rank] = sum;
workgroupBarrier();
if (rank != 0u) { return; }
for (var other = 1u; other < ${WORKGROUP}u; other++) { sum += partial[other]; }
sums[u.place + group.x] = sum;`
  }
})

/**
 * Joins the sums to the norm, and writes what the update reads: `control[0]` holds what multiplies the gradients, and 0 where they or the loss are not
 * finite (told by the exponent, since shaders may assume that neither infinity nor NaN occurs); the rates of the parts follow.
 */
const clipProgram = variants('clip', () => ({
  outputs: { control: 'vec4<f32>', measured: 'f32' },
  inputs: { sums: 'f32', loss: 'f32', rates: 'vec4<f32>' },
  uniforms: { count: 'u32', parts: 'u32', clipNorm: 'f32' },
  workgroup: [WORKGROUP],
  declarations: `var<workgroup> partial: array<f32, ${WORKGROUP}>;
fn isFinite(value: f32) -> bool { return (bitcast<u32>(value) & 0x7f800000u) != 0x7f800000u; }`,
  main: `var sum = 0.0;
for (var at = rank; at < u.count; at += ${WORKGROUP}u) { sum += sums[at]; }
partial[rank] = sum;
workgroupBarrier();
if (rank != 0u) { return; }
for (var other = 1u; other < ${WORKGROUP}u; other++) { sum += partial[other]; }
let norm = sqrt(sum);
var scale = 1.0;
if (u.clipNorm > 0.0) { scale = min(1.0, u.clipNorm / (norm + 1e-6)); }
let good = isFinite(sum) && isFinite(loss[0]);
control[0] = vec4<f32>(scale, select(0.0, 1.0, good), 0.0, 0.0);
for (var part = 0u; part < u.parts; part++) { control[1u + part] = rates[part]; }
measured[0] = loss[0];
measured[1] = norm;`
}))

/** What the norm leads to: tensors to write, and what is read beside the gradients. */
export interface ClipTensors {
  /** `[parts + 1, 4]`, written: see `clipProgram`. */
  control: tf.TensorInfo
  /** `[2]`, written: the loss and the norm. */
  measured: tf.TensorInfo
  /** Scalar. */
  loss: tf.TensorInfo
  /** `[parts, 4]`. */
  rates: tf.TensorInfo
}

/**
 * Records the square root of the sum of all squares of all tensors, and the scale that keeps it at `clipNorm` at most (0: no clipping). One dispatch for
 * as many tensors as the device binds, and one to join them; the order of addition never changes.
 */
export function clipByGlobalNorm(run: Runner, tensors: readonly tf.Tensor[], clipNorm: number, clip: ClipTensors): void {
  const most = run.device.limits.maxStorageBuffersPerShaderStage - 1
  // Largest first: tensors of like size share a dispatch, whose workgroups are as many for each. Whole quads apart, since one odd size slows all.
  const sorted = [...tensors].sort((a, b) => lanesFor(b.size) - lanesFor(a.size) || b.size - a.size)
  const batches: { some: tf.Tensor[]; lanes: Lanes; sizes: number[]; shares: Shares; place: number }[] = []
  let count = 0
  for (const some of evenly(sorted, most)) {
    const lanes = some.every(({ size }) => lanesFor(size) === 4) ? 4 : 1
    const sizes = some.map(({ size }) => size / lanes)
    const shares = shareWorkgroups(sizes, LEAST, GROUPS)
    batches.push({ some, lanes, sizes, shares, place: count })
    count += shares.total
  }
  const sums = run.allocate([count])
  for (const { some, lanes, sizes, shares, place } of batches) {
    run.run(partialProgram(lanes, some.length), {
      outputs: [sums],
      inputs: some,
      uniforms: [place, ...sizes, ...shares.ends],
      groups: [shares.total]
    })
  }
  run.run(clipProgram(), {
    outputs: [clip.control, clip.measured],
    inputs: [sums, clip.loss, clip.rates],
    uniforms: [count, clip.rates.shape[0] as number, clipNorm],
    groups: [1]
  })
  run.free(sums)
}

/** As few stretches as possible, at most `most` long and of nearly the same length, so that few programs serve them. */
export function evenly<Item>(items: readonly Item[], most: number): Item[][] {
  const count = Math.ceil(items.length / most)
  return Array.from({ length: count }, (_, at) =>
    items.slice(Math.round((at * items.length) / count), Math.round(((at + 1) * items.length) / count))
  )
}
