// Rows of a matrix by number, and the gradient that sends them back: embeddings and label rows.
import type * as tf from '@tensorflow/tfjs'
import { derived } from '../../hostArrays'
import { takeGradientSoFar } from '../gradients'
import type { PackedMatrix } from '../packed'
import { PACKINGS, type PackingId } from '../packings'
import { empty, fused } from './fused'
import { lanesFor, variants, type Lanes } from './program'
import { flatIndex, WORKGROUP } from './run'

const forwardProgram = variants('gather', (lanes: Lanes) => ({
  lanes,
  outputs: { output: 'Lane' },
  inputs: { table: 'Lane', ids: 'i32' },
  uniforms: { items: 'u32', width: 'u32' },
  workgroup: [WORKGROUP],
  main: `${flatIndex}
if (index >= u.items) { return; }
output[index] = table[u32(ids[index / u.width]) * u.width + index % u.width];`
}))

/**
 * A thread owns one lane of one row of the table and follows that row's chain of uses, so it writes every number once, zeros included: no atomics, no
 * clearing before, and one order of addition. A table that is the head too has the loss's gradient already, which is added here.
 */
const gradientProgram = variants('gatherGradient', (lanes: Lanes) => ({
  lanes,
  outputs: { output: 'Lane' },
  inputs: { dy: 'Lane', chains: 'i32', soFar: 'Lane' },
  uniforms: { items: 'u32', width: 'u32', rows: 'u32', hasSoFar: 'u32' },
  workgroup: [WORKGROUP],
  main: `${flatIndex}
if (index >= u.items) { return; }
let lane = index % u.width;
var sum = Lane();
for (var at = chains[index / u.width]; at >= 0; at = chains[u.rows + u32(at)]) { sum += dy[u32(at) * u.width + lane]; }
if (u.hasSoFar != 0u) { sum += soFar[index]; }
output[index] = sum;`
}))

/** For each row its first use, then for each use the next of the same row; -1 ends a chain. */
export function chainsOf(ids: Int32Array, rows: number): Int32Array {
  const chains = new Int32Array(rows + ids.length).fill(-1)
  for (let use = ids.length - 1; use >= 0; use--) {
    const row = ids[use] as number
    chains[rows + use] = chains[row] as number
    chains[row] = use
  }
  return chains
}

const operation = fused<{ ids: Int32Array; rows: number }>({
  name: 'FusedGather',
  shape: ({ table }, { ids }) => [ids.length, (table as tf.Tensor).shape[1] as number],
  forward: (run, output, inputs, attributes) => {
    const table = inputs.table as tf.Tensor
    const width = table.shape[1] as number
    const lanes = lanesFor(width)
    const items = (attributes.ids.length * width) / lanes
    const ids = run.upload(attributes.ids)
    run.run(forwardProgram(lanes), { outputs: [output], inputs: [table, ids], uniforms: [items, width / lanes], groups: run.grid(items) })
    run.free(ids)
  },
  gradient: (run, dy, _, { ids, rows }) => ({
    table: () => {
      const width = dy.shape[1] as number
      const lanes = lanesFor(width)
      const items = (rows * width) / lanes
      const output = empty([rows, width])
      const soFar = takeGradientSoFar()
      const chains = run.upload(derived(ids, (uses) => chainsOf(uses, rows)))
      run.run(gradientProgram(lanes), {
        outputs: [output],
        inputs: [dy, chains, soFar ?? dy],
        uniforms: [items, width / lanes, rows, soFar ? 1 : 0],
        groups: run.grid(items)
      })
      run.free(chains)
      return output
    }
  })
})

/** Rows `ids` of `table`, `[n, width]`, in one dispatch; the dense gradient in another. See `../embedding` and `../gatherRows`. */
export function gatherFused(table: tf.Tensor2D, ids: Int32Array): tf.Tensor2D {
  return operation({ table }, { ids, rows: table.shape[0] }) as tf.Tensor2D
}

/** A thread unpacks four neighbours of one wanted row; what lies beyond the row's end is padding. */
const packedProgram = variants('gatherPacked', (packing: PackingId) => {
  const { words, value } = PACKINGS[packing].read('table', 'row', 'quad', 'u.quads')
  return {
    outputs: { output: 'f32' },
    inputs: { table: PACKINGS[packing].element, ids: 'i32' },
    uniforms: { items: 'u32', width: 'u32', quads: 'u32' },
    workgroup: [WORKGROUP],
    main: `${flatIndex}
if (index >= u.items) { return; }
let row = u32(ids[index / u.quads]);
let quad = index % u.quads;
let words = ${words};
let value = ${value};
let at = index / u.quads * u.width + quad * 4u;
for (var i = 0u; i < min(4u, u.width - quad * 4u); i++) { output[at + i] = value[i]; }`
  }
})

const packedOperation = fused<{ ids: Int32Array; width: number; packing: PackingId }>({
  name: 'FusedGatherPacked',
  shape: (_, { ids, width }) => [ids.length, width],
  forward: (run, output, { words }, attributes) => {
    const { width, packing } = attributes
    const quads = Math.ceil(width / 4)
    const items = attributes.ids.length * quads
    const ids = run.upload(attributes.ids)
    run.run(packedProgram(packing), {
      outputs: [output],
      inputs: [words as tf.Tensor, ids],
      uniforms: [items, width, quads],
      groups: run.grid(items)
    })
    run.free(ids)
  }
})

/** Rows `ids` of a packed matrix, unpacked, `[n, width]` float32, in one dispatch. */
export function gatherPacked({ words, packing, shape }: PackedMatrix, ids: Int32Array): tf.Tensor2D {
  return packedOperation({ words }, { ids, width: shape[1], packing }) as tf.Tensor2D
}
