// Linear layers of one input as grouped products, what low ranks add to them, and their gradients.
import type * as tf from '@tensorflow/tfjs'
import type { WeightLayout } from '../linear'
import type { LinearGroupInputs } from '../linearGroup'
import { takeGradientSoFar } from '../gradients'
import type { PackingId } from '../packings'
import { empty, fusedMany, once } from './fused'
import { gradientOfBias, gradientOfInput, gradientOfWeight, linearFused, multiplyByWeight, operandOf, widthsOf } from './linear'
import { joins, lowRankGradients, lowRankTerms, type LowRankOperand } from './lowRank'
import { matmulGroup, type MatmulPart } from './matmul'

interface GroupAttributes {
  /** Of each weight. */
  shapes: readonly (readonly [number, number])[]
  /** Several are `outIn`. */
  layout: WeightLayout
  packing?: PackingId
  lowRanks: readonly Pick<LowRankOperand, 'layer' | 'rank'>[]
  /** Of the low ranks. */
  scale: number
}

const numbered = <Value>(stem: string, values: readonly Value[]): Record<string, Value> =>
  Object.fromEntries(values.map((value, at) => [`${stem}${at}`, value]))

/** Weights of a group, at most. */
const MOST = 3
const each = (stem: string): string[] => Array.from({ length: MOST }, (_, at) => `${stem}${at}`)
const all = (stems: readonly string[], readers: (at: number) => string[]): Record<string, string[]> =>
  Object.fromEntries(stems.map((stem, at) => [stem, readers(at)]))

const operandsOf = (inputs: tf.NamedTensorMap, { lowRanks }: GroupAttributes): LowRankOperand[] =>
  lowRanks.map((one) => ({
    ...one,
    down: inputs[`down${one.layer}`],
    up: inputs[`up${one.layer}`],
    inner: inputs[`inner${one.layer}`]
  }))

const operation = fusedMany<GroupAttributes>({
  name: 'FusedLinearGroup',
  saved: {
    x: [...each('weight'), ...each('down')],
    ...all(each('weight'), () => ['x']),
    ...all(each('down'), () => ['x']),
    ...all(each('up'), (at) => ['x', `down${at}`]),
    ...all(each('inner'), (at) => [`up${at}`])
  },
  scratch: ({ x }, { lowRanks }) =>
    Object.fromEntries(lowRanks.map(({ layer, rank }) => [`inner${layer}`, [(x as tf.Tensor).shape[0] as number, rank]])),
  shapes: ({ x }, { shapes, layout }) => shapes.map((shape) => [(x as tf.Tensor).shape[0] as number, widthsOf({ shape }, layout)[1]]),
  forward: (run, outputs, inputs, attributes) => {
    const { shapes, layout, packing, lowRanks, scale } = attributes
    const left = inputs.x as tf.Tensor
    const rows = left.shape[0] as number
    const { bias0: bias, residual } = inputs
    const terms = lowRanks.length > 0 ? lowRankTerms(run, outputs, left, operandsOf(inputs, attributes), scale) : []
    if (layout === 'inOut') {
      const weight = { tensor: inputs.weight0 as tf.Tensor, shape: shapes[0]!, packing }
      multiplyByWeight(run, outputs[0] as tf.TensorInfo, left, weight, layout, { bias, residual })
    } else {
      const parts = shapes.map(([columns, depth], at) => ({
        output: outputs[at] as tf.TensorInfo,
        left,
        right: inputs[`weight${at}`] as tf.Tensor,
        packing,
        bias: inputs[`bias${at}`],
        rows,
        columns,
        depth
      }))
      if (parts.length === 1 && joins(run, [...parts, ...terms], left)) {
        matmulGroup(run, 'NT', [...parts, ...terms], { arrangement: 'terms', residual })
        return
      }
      matmulGroup(run, 'NT', parts, { residual })
    }
    matmulGroup(run, 'NT', terms, { arrangement: 'apart', onto: true })
  },
  gradient: (run, dys, saved, attributes) => {
    const { shapes, layout, packing, lowRanks, scale } = attributes
    const rows = dys[0]!.shape[0] as number
    const width = widthsOf({ shape: shapes[0]! }, layout)[0]
    const isSingle = shapes.length === 1
    const lowRank =
      lowRanks.length > 0 ? lowRankGradients(run, dys, { x: saved.x, width }, operandsOf(saved, attributes), scale) : undefined
    const weightGradients = isSingle ? [] : shapes.map((shape) => empty(shape))
    const fill = once(() =>
      matmulGroup(
        run,
        'TN',
        shapes.map(([out], at) => ({
          output: weightGradients[at] as tf.Tensor,
          left: dys[at] as tf.Tensor,
          right: saved.x as tf.Tensor,
          rows: out,
          columns: width,
          depth: rows
        }))
      )
    )
    const inputGradient = (): tf.Tensor => {
      if (layout === 'inOut') {
        const weight = { tensor: saved.weight0 as tf.Tensor, shape: shapes[0]!, packing }
        const dx = gradientOfInput(run, dys[0] as tf.Tensor, weight, layout)
        matmulGroup(run, 'NN', lowRank?.inputTerms(dx) ?? [], { onto: true })
        return dx
      }
      const residual = takeGradientSoFar()
      const output = empty([rows, width])
      const parts: MatmulPart[] = shapes.map(([depth], at) => ({
        output,
        left: dys[at] as tf.Tensor,
        right: saved[`weight${at}`] as tf.Tensor,
        packing,
        rows,
        columns: width,
        depth
      }))
      const terms = lowRank?.inputTerms(output) ?? []
      if (joins(run, [...parts, ...terms], residual)) matmulGroup(run, 'NN', [...parts, ...terms], { residual })
      else {
        matmulGroup(run, 'NN', parts, { residual })
        matmulGroup(run, 'NN', terms, { onto: true })
      }
      return output
    }
    const byLayer = (stem: 'down' | 'up'): Record<string, () => tf.Tensor> =>
      Object.fromEntries(lowRanks.map(({ layer }, at) => [`${stem}${layer}`, lowRank![stem][at]!]))
    return {
      x: inputGradient,
      ...(isSingle
        ? { weight0: () => gradientOfWeight(run, dys[0] as tf.Tensor, saved.x as tf.Tensor, layout) }
        : numbered(
            'weight',
            weightGradients.map((gradient) => () => {
              fill()
              return gradient
            })
          )),
      ...numbered(
        'bias',
        dys.map((dy) => () => gradientOfBias(run, dy))
      ),
      residual: () => (dys[0] as tf.Tensor).clone(),
      ...byLayer('down'),
      ...byLayer('up')
    }
  }
})

/** Whether the kernels can take these layers together: all weights of one packing, and corrections of one scale that read what the layers read. */
export function canGroup({ weights, lowRanks = [] }: LinearGroupInputs): boolean {
  const present = lowRanks.filter((lowRank) => lowRank !== undefined)
  return (
    new Set(weights.map((weight) => operandOf(weight).read.packing)).size === 1 &&
    new Set(present.map(({ scale }) => scale)).size <= 1 &&
    present.every(({ reads }) => !reads)
  )
}

/** `linearGroup` in one dispatch, and two more for the corrections; see `../linearGroup`. */
export function linearGroupFused({ x, weights, layout = 'outIn', biases = [], residual, lowRanks = [] }: LinearGroupInputs): tf.Tensor2D[] {
  const present = lowRanks.flatMap((lowRank, layer) => (lowRank ? [{ layer, ...lowRank }] : []))
  if (weights.length === 1 && present.length === 0) return [linearFused({ x, weight: weights[0]!, layout, bias: biases[0], residual })]
  const operands = weights.map(operandOf)
  const inputs = {
    x,
    ...numbered(
      'weight',
      operands.map(({ tensor }) => tensor)
    ),
    ...numbered('bias', [...biases]),
    residual,
    ...Object.fromEntries(
      present.flatMap(({ layer, down, up }) => [
        [`down${layer}`, down],
        [`up${layer}`, up]
      ])
    )
  }
  return operation(inputs, {
    shapes: operands.map(({ read }) => read.shape),
    layout,
    packing: operands[0]?.read.packing,
    lowRanks: present.map(({ layer, down }) => ({ layer, rank: down.shape[0] })),
    scale: present[0]?.scale ?? 1
  }) as tf.Tensor2D[]
}
