// The norm of many tensors in a few dispatches: several tensors to each, then one that joins the sums.
import type * as tf from '@tensorflow/tfjs'
import { empty } from './fused'
import { lanesFor, variants, type Lanes } from './program'
import { runner, WORKGROUP } from './run'

/** Tensors to a dispatch: every WebGPU device binds eight storage buffers, one of which is written. */
const TENSORS = 7

/** Workgroups to a tensor, at most: enough to read the largest at full speed, few enough to be joined by one. */
const GROUPS = 32

/** Numbers below which another workgroup is not worth while. */
const NUMBERS = 8192

/** Workgroup (x, y) sums the squares of every x-th stretch of tensor y; its threads stride over that tensor, and the first joins their sums. */
const partialProgram = variants('squareSums', (lanes: Lanes, count: number) => {
  const names = Array.from({ length: count }, (_, at) => `tensor${at}`)
  return {
    lanes,
    outputs: { sums: 'f32' },
    inputs: Object.fromEntries(names.map((name) => [name, 'Lane' as const])),
    uniforms: { first: 'u32', ...Object.fromEntries(names.map((name) => [`${name}Size`, 'u32' as const])) },
    workgroup: [WORKGROUP],
    declarations: `var<workgroup> partial: array<f32, ${WORKGROUP}>;`,
    main: `var sum = 0.0;
let stride = groups.x * ${WORKGROUP}u;
switch group.y {
${names
  .map(
    (name, at) => `${at === count - 1 ? 'default' : `case ${at}u`}: {
for (var at = thread.x; at < u.${name}Size; at += stride) { sum += total(${name}[at] * ${name}[at]); }
}`
  )
  .join('\n')}
}
partial[rank] = sum;
workgroupBarrier();
if (rank != 0u) { return; }
for (var other = 1u; other < ${WORKGROUP}u; other++) { sum += partial[other]; }
sums[u.first + group.y * groups.x + group.x] = sum;`
  }
})

const rootProgram = variants('rootOfSum', () => ({
  outputs: { output: 'f32' },
  inputs: { sums: 'f32' },
  uniforms: { count: 'u32' },
  workgroup: [WORKGROUP],
  declarations: `var<workgroup> partial: array<f32, ${WORKGROUP}>;`,
  main: `var sum = 0.0;
for (var at = rank; at < u.count; at += ${WORKGROUP}u) { sum += sums[at]; }
partial[rank] = sum;
workgroupBarrier();
if (rank != 0u) { return; }
for (var other = 1u; other < ${WORKGROUP}u; other++) { sum += partial[other]; }
output[0] = sqrt(sum);`
}))

/** `globalNorm` in one dispatch for each seven tensors and one to join them; see `../globalNorm`. The order of addition never changes. */
export function globalNormFused(tensors: readonly tf.Tensor[]): tf.Scalar {
  const run = runner()
  // Largest first: tensors of like size share a dispatch, whose workgroups are as many for each.
  const sorted = [...tensors].sort((a, b) => b.size - a.size)
  const batches: { some: tf.Tensor[]; groups: number; first: number }[] = []
  let count = 0
  for (let start = 0; start < sorted.length; start += TENSORS) {
    const some = sorted.slice(start, start + TENSORS)
    const groups = Math.min(GROUPS, Math.ceil((some[0] as tf.Tensor).size / NUMBERS))
    batches.push({ some, groups, first: count })
    count += some.length * groups
  }
  const sums = run.allocate([count])
  for (const { some, groups, first } of batches) {
    const lanes = some.every(({ size }) => lanesFor(size) === 4) ? 4 : 1
    run.run(partialProgram(lanes, some.length), {
      outputs: [sums],
      inputs: some,
      uniforms: [first, ...some.map(({ size }) => size / lanes)],
      groups: [groups, some.length]
    })
  }
  const norm = empty([]) as tf.Scalar
  run.run(rootProgram(), { outputs: [norm], inputs: [sums], uniforms: [count], groups: [1] })
  run.free(sums)
  return norm
}
