// Low-rank corrections beside linear layers of one input, and their gradients: a few dispatches for all layers of a group.
import type * as tf from '@tensorflow/tfjs'
import { empty, once } from './fused'
import { matmulGroup, type MatmulPart } from './matmul'
import type { Runner } from './run'

/** The correction of one layer of a group. Of the tensors a gradient has those that it reads. */
export interface LowRankOperand {
  /** Place of the layer in its group. */
  layer: number
  rank: number
  /** `[rank, in]`. */
  down?: tf.Tensor
  /** `[out, rank]`. */
  up?: tf.Tensor
  /** `[rows, rank]`, `scale * x down^T`: filled in the forward pass, and kept for the gradient of `up`. */
  inner?: tf.Tensor
}

const widthOf = (matrix: tf.TensorInfo): number => matrix.shape[1] as number

/** The second products of corrections, `inner up^T`, of which each is to be added to what its layer gives; records the first ones. */
export function lowRankTerms(
  run: Runner,
  outputs: readonly tf.TensorInfo[],
  x: tf.TensorInfo,
  operands: readonly LowRankOperand[],
  scale: number
): MatmulPart[] {
  const [rows, width] = x.shape as [number, number]
  const inner = operands.map(({ rank, down, inner: output }) => ({
    output: output as tf.Tensor,
    left: x,
    right: down as tf.Tensor,
    rows,
    columns: rank,
    depth: width
  }))
  matmulGroup(run, 'NT', inner, { scale })
  return operands.map(({ layer, rank, up, inner: left }) => {
    const output = outputs[layer] as tf.TensorInfo
    return { output, left: left as tf.Tensor, right: up as tf.Tensor, rows, columns: widthOf(output), depth: rank }
  })
}

/** Whether these can be terms of one dispatch: the device binds them, and every depth is whole quads, without which all would be read number by number. */
export function joins(run: Runner, terms: readonly MatmulPart[], residual?: tf.TensorInfo): boolean {
  const buffers = 1 + 2 * terms.length + (residual ? 2 : 0)
  return buffers <= run.device.limits.maxStorageBuffersPerShaderStage && terms.every(({ depth }) => depth % 4 === 0)
}

export interface LowRankGradients {
  /** What is to be added to the gradient of x, `[rows, in]`. */
  inputTerms(dx: tf.TensorInfo): MatmulPart[]
  /** By operand. */
  down: (() => tf.Tensor)[]
  up: (() => tf.Tensor)[]
}

/** The gradients of the corrections. `width` is that of `x`, which is given where the gradient of `down` may be asked for. */
export function lowRankGradients(
  run: Runner,
  dys: readonly tf.TensorInfo[],
  { x, width }: { x?: tf.TensorInfo; width: number },
  operands: readonly LowRankOperand[],
  scale: number
): LowRankGradients {
  const rows = dys[0]!.shape[0] as number
  const dyOf = ({ layer }: LowRankOperand): tf.TensorInfo => dys[layer] as tf.TensorInfo
  const inner = operands.map(({ rank }) => empty([rows, rank]))
  const fillInner = once(() => {
    const parts = operands.map((operand, at) => {
      const left = dyOf(operand)
      return { output: inner[at] as tf.Tensor, left, right: operand.up as tf.Tensor, rows, columns: operand.rank, depth: widthOf(left) }
    })
    matmulGroup(run, 'NN', parts, { arrangement: 'apart', scale })
  })
  const down = operands.map(({ rank }) => empty([rank, width]))
  const fillDown = once(() => {
    fillInner()
    const right = x as tf.TensorInfo
    const parts = operands.map(({ rank }, at) => ({
      output: down[at] as tf.Tensor,
      left: inner[at] as tf.Tensor,
      right,
      rows: rank,
      columns: width,
      depth: rows
    }))
    matmulGroup(run, 'TN', parts)
  })
  const up = operands.map((operand) => empty([widthOf(dyOf(operand)), operand.rank]))
  const fillUp = once(() => {
    const parts = operands.map((operand, at) => {
      const left = dyOf(operand)
      return {
        output: up[at] as tf.Tensor,
        left,
        right: operand.inner as tf.Tensor,
        rows: widthOf(left),
        columns: operand.rank,
        depth: rows
      }
    })
    matmulGroup(run, 'TN', parts, { arrangement: 'apart' })
  })
  const filled = (fill: () => void, gradients: readonly tf.Tensor[]): (() => tf.Tensor)[] =>
    gradients.map((gradient) => () => {
      fill()
      return gradient
    })
  return {
    inputTerms(dx) {
      fillInner()
      return operands.map(({ rank, down: right }, at) => ({
        output: dx,
        left: inner[at] as tf.Tensor,
        right: right as tf.Tensor,
        rows,
        columns: width,
        depth: rank
      }))
    },
    down: filled(fillDown, down),
    up: filled(fillUp, up)
  }
}
