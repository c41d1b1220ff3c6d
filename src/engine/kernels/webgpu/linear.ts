// The linear layer and its gradients as single matrix products, with bias and residual added on the way out.
import type * as tf from '@tensorflow/tfjs'
import type { LinearInputs, WeightLayout } from '../linear'
import { takeGradientSoFar } from '../gradients'
import { PackedMatrix, type FrozenMatrix } from '../packed'
import type { PackingId } from '../packings'
import { columnSums, plainColumnSum } from './columnSums'
import { empty, fused } from './fused'
import { matmul } from './matmul'
import type { Runner } from './run'

/** A weight as kernels see it: a buffer, the shape of the matrix in it, and its packing where it has one. */
export interface WeightOperand {
  tensor: tf.TensorInfo
  shape: readonly [number, number]
  packing?: PackingId
}

/** A tensor that enters the tape for a matrix, and how the kernel is to read it. */
export function operandOf(matrix: FrozenMatrix): { tensor: tf.Tensor; read: Omit<WeightOperand, 'tensor'> } {
  if (matrix instanceof PackedMatrix) return { tensor: matrix.words, read: { shape: matrix.shape, packing: matrix.packing } }
  return { tensor: matrix, read: { shape: matrix.shape } }
}

interface LinearAttributes {
  layout: WeightLayout
  read: Omit<WeightOperand, 'tensor'>
}

/** `[in, out]` of a weight. */
export function widthsOf({ shape: [first, second] }: Pick<WeightOperand, 'shape'>, layout: WeightLayout): [number, number] {
  return layout === 'outIn' ? [second, first] : [first, second]
}

/** Records `output = x weight (+ bias) (+ residual)`. */
export function multiplyByWeight(
  run: Runner,
  output: tf.TensorInfo,
  x: tf.TensorInfo,
  weight: WeightOperand,
  layout: WeightLayout,
  added: { bias?: tf.TensorInfo; residual?: tf.TensorInfo } = {}
): void {
  const [depth, columns] = widthsOf(weight, layout)
  matmul(run, {
    mode: layout === 'outIn' ? 'NT' : 'NN',
    output,
    left: x,
    right: weight.tensor,
    packing: weight.packing,
    rows: x.shape[0] as number,
    columns,
    depth,
    forward: true,
    ...added
  })
}

/** Records the gradient of x, `output = dy weight^T (+ residual)`. */
export function multiplyByTransposed(
  run: Runner,
  output: tf.TensorInfo,
  dy: tf.TensorInfo,
  weight: WeightOperand,
  layout: WeightLayout,
  residual?: tf.TensorInfo
): void {
  const [columns, depth] = widthsOf(weight, layout)
  const { tensor: right, packing } = weight
  const rows = dy.shape[0] as number
  matmul(run, { mode: layout === 'outIn' ? 'NN' : 'NT', output, left: dy, right, packing, rows, columns, depth, residual })
}

/** Records the gradient of the weight, in its layout: `output = dy^T x` or `x^T dy`, or `output +=` with `onto`. */
export function multiplyForWeight(
  run: Runner,
  output: tf.TensorInfo,
  dy: tf.TensorInfo,
  x: tf.TensorInfo,
  layout: WeightLayout,
  onto = false
): void {
  const [left, right] = layout === 'outIn' ? [dy, x] : [x, dy]
  const [depth, rows] = left.shape as [number, number]
  matmul(run, { mode: 'TN', output, left, right, rows, columns: right.shape[1] as number, depth, onto })
}

/** The gradient of x, `[rows, in]`, and what later uses of x gave it. */
export function gradientOfInput(run: Runner, dy: tf.TensorInfo, weight: WeightOperand, layout: WeightLayout): tf.Tensor {
  const output = empty([dy.shape[0] as number, widthsOf(weight, layout)[0]])
  multiplyByTransposed(run, output, dy, weight, layout, takeGradientSoFar())
  return output
}

/** The gradient of the weight, in its layout. */
export function gradientOfWeight(run: Runner, dy: tf.TensorInfo, x: tf.TensorInfo, layout: WeightLayout): tf.Tensor {
  const [inner, outer] = [x.shape[1] as number, dy.shape[1] as number]
  const output = empty(layout === 'outIn' ? [outer, inner] : [inner, outer])
  multiplyForWeight(run, output, dy, x, layout)
  return output
}

/** The gradient of the bias: the sum of dy's rows. */
export function gradientOfBias(run: Runner, dy: tf.TensorInfo): tf.Tensor {
  const [rows, width] = dy.shape as [number, number]
  const output = empty([width])
  columnSums(run, plainColumnSum, output, [dy], rows, width)
  return output
}

const operation = fused<LinearAttributes>({
  name: 'FusedLinear',
  saved: { x: ['weight'], weight: ['x'] },
  shape: ({ x }, { layout, read }) => [(x as tf.Tensor).shape[0] as number, widthsOf(read, layout)[1]],
  forward: (run, output, { x, weight, bias, residual }, { layout, read }) =>
    multiplyByWeight(run, output, x as tf.Tensor, { tensor: weight as tf.Tensor, ...read }, layout, { bias, residual }),
  gradient: (run, dy, { x, weight }, { layout, read }) => ({
    x: () => gradientOfInput(run, dy, { tensor: weight as tf.Tensor, ...read }, layout),
    weight: () => gradientOfWeight(run, dy, x as tf.Tensor, layout),
    bias: () => gradientOfBias(run, dy),
    residual: () => dy.clone()
  })
})

/** `linear` in one dispatch; see `../linear`. */
export function linearFused({ x, weight, layout = 'outIn', bias, residual }: LinearInputs): tf.Tensor2D {
  const { tensor, read } = operandOf(weight)
  return operation({ x, weight: tensor, bias, residual }, { layout, read }) as tf.Tensor2D
}
