// Linear layers of one input as grouped products, and their gradients.
import type * as tf from '@tensorflow/tfjs'
import type { LinearGroupInputs } from '../linearGroup'
import type { PackingId } from '../packings'
import { empty, fusedMany, once } from './fused'
import { gradientOfBias, operandOf } from './linear'
import { matmulGroup } from './matmul'

interface GroupAttributes {
  /** `[out, in]` of each weight. */
  shapes: readonly (readonly [number, number])[]
  packing?: PackingId
}

const numbered = <Value>(stem: string, values: readonly Value[]): Record<string, Value> =>
  Object.fromEntries(values.map((value, at) => [`${stem}${at}`, value]))

const operation = fusedMany<GroupAttributes>({
  name: 'FusedLinearGroup',
  saved: { x: ['weight0', 'weight1', 'weight2'], weight0: ['x'], weight1: ['x'], weight2: ['x'] },
  shapes: ({ x }, { shapes }) => shapes.map(([out]) => [(x as tf.Tensor).shape[0] as number, out]),
  forward: (run, outputs, inputs, { shapes, packing }) => {
    const left = inputs.x as tf.Tensor
    const rows = left.shape[0] as number
    matmulGroup(
      run,
      'NT',
      shapes.map(([columns, depth], at) => ({
        output: outputs[at] as tf.TensorInfo,
        left,
        right: inputs[`weight${at}`] as tf.Tensor,
        bias: inputs[`bias${at}`],
        rows,
        columns,
        depth
      })),
      packing
    )
  },
  gradient: (run, dys, saved, { shapes, packing }) => {
    const rows = dys[0]!.shape[0] as number
    const weightGradients = shapes.map((shape) => empty(shape))
    const fill = once(() =>
      matmulGroup(
        run,
        'TN',
        shapes.map(([out, width], at) => ({
          output: weightGradients[at] as tf.Tensor,
          left: dys[at] as tf.Tensor,
          right: saved.x as tf.Tensor,
          rows: out,
          columns: width,
          depth: rows
        }))
      )
    )
    return {
      x: () => {
        const width = shapes[0]![1]
        const output = empty([rows, width])
        const parts = shapes.map(([depth], at) => ({
          output,
          left: dys[at] as tf.Tensor,
          right: saved[`weight${at}`] as tf.Tensor,
          rows,
          columns: width,
          depth
        }))
        matmulGroup(run, 'NN', parts, packing)
        return output
      },
      ...numbered(
        'weight',
        weightGradients.map((gradient) => () => {
          fill()
          return gradient
        })
      ),
      ...numbered(
        'bias',
        dys.map((dy) => () => gradientOfBias(run, dy))
      )
    }
  }
})

/** Whether the kernels can take these layers together: all weights of one packing. */
export function canGroup({ weights }: LinearGroupInputs): boolean {
  return new Set(weights.map((weight) => operandOf(weight).read.packing)).size === 1
}

/** `linearGroup` in one dispatch; see `../linearGroup`. */
export function linearGroupFused({ x, weights, biases = [] }: LinearGroupInputs): tf.Tensor2D[] {
  const operands = weights.map(operandOf)
  const tensors = operands.map(({ tensor }) => tensor)
  const attributes = { shapes: operands.map(({ read }) => read.shape), packing: operands[0]?.read.packing }
  return operation({ x, ...numbered('weight', tensors), ...numbered('bias', [...biases]) }, attributes) as tf.Tensor2D[]
}
