// Cross-entropy at the label rows, a part of them at a time: logits, their normaliser, the gradient written over the logits, and what follows from it.
import * as tf from '@tensorflow/tfjs'
import { isUnit, wantsGradient } from '../gradients'
import type { LabelInputs, LabelLossInputs } from '../labelLoss'
import { rowsOfPart, trainingLogitsBytes } from '../labelParts'
import { columnSums, plainColumnSum } from './columnSums'
import { fused } from './fused'
import { multiplyByTransposed, multiplyByWeight, multiplyForWeight, operandOf, type WeightOperand } from './linear'
import { lanesFor, variants, type Lanes } from './program'
import { rowOwner, type RowOwner } from './rows'
import { rowsOf, WORKGROUP, type Runner } from './run'

/** Threads of a workgroup: all on one row, or, on processors, each on a row of its own; few, so that all cores have some of the rows of a part. */
const THREADS: Record<RowOwner, number> = { shared: 128, alone: 4 }

/** Joins the pairs of all threads of a row in its first thread, which alone goes on. */
const join = `maxima[rank] = top;
sums[rank] = sum;
workgroupBarrier();
if (rank != 0u) { return; }
for (var other = 1u; other < ${THREADS.shared}u; other++) { top = max(top, maxima[other]); }
sum = 0.0;
for (var other = 0u; other < ${THREADS.shared}u; other++) { sum += sums[other] * exp(maxima[other] - top); }`

/**
 * A thread keeps a running maximum and a running sum of exponentials relative to it over its lanes of a row: all, or every 128th, with the pairs of 128 threads
 * joined at the end. One pass over the row, and no overflow at any logit.
 */
const normaliserProgram = variants('labelNormaliser', (lanes: Lanes, owner: RowOwner) => ({
  lanes,
  outputs: { normaliser: 'f32', nats: 'f32' },
  inputs: { logits: 'Lane', targets: 'i32' },
  uniforms: { rows: 'u32', width: 'u32', first: 'u32', sign: 'f32' },
  workgroup: [THREADS[owner]],
  declarations:
    owner === 'alone'
      ? ''
      : `var<workgroup> maxima: array<f32, ${THREADS.shared}>;
var<workgroup> sums: array<f32, ${THREADS.shared}>;`,
  main: `let row = ${owner === 'alone' ? 'thread.x' : 'group.x'};
if (row >= u.rows) { return; }
var top = -1e30;
var sum = 0.0;
for (var at = ${owner === 'alone' ? '0u' : 'rank'}; at < u.width; at += ${owner === 'alone' ? 1 : THREADS.shared}u) {
  let z = logits[row * u.width + at];
  let higher = max(top, largest(z));
  sum = sum * exp(top - higher) + total(exp(z - Lane(higher)));
  top = higher;
}
${owner === 'alone' ? '' : join}
let log = top + log(sum);
let target_ = u32(targets[u.first + row]);
normaliser[u.first + row] = log;
nats[u.first + row] = u.sign * (log - ${lanes === 4 ? 'logits[row * u.width + target_ / 4u][target_ % 4u]' : 'logits[row * u.width + target_]'});`
}))

/** `sum(weights * nats)`, by one workgroup in one order. */
const weightedSumProgram = variants('weightedSum', () => ({
  outputs: { output: 'f32' },
  inputs: { nats: 'f32', weights: 'f32' },
  uniforms: { rows: 'u32' },
  workgroup: [WORKGROUP],
  declarations: `var<workgroup> partial: array<f32, ${WORKGROUP}>;`,
  main: `var sum = 0.0;
for (var row = rank; row < u.rows; row += ${WORKGROUP}u) { sum += weights[row] * nats[row]; }
partial[rank] = sum;
workgroupBarrier();
if (rank != 0u) { return; }
for (var other = 1u; other < ${WORKGROUP}u; other++) { sum += partial[other]; }
output[0] = sum;`
}))

/** Over the logits: `weight * (softmax(logits) - onehot(target))`, a workgroup for 64 lanes of one row. */
const gradientProgram = variants('labelGradient', (lanes: Lanes) => ({
  lanes,
  outputs: { logits: 'Lane' },
  inputs: { normaliser: 'f32', targets: 'i32', weights: 'f32' },
  uniforms: { width: 'u32', first: 'u32' },
  workgroup: [WORKGROUP],
  main: `let row = group.y;
if (thread.x >= u.width) { return; }
let at = row * u.width + thread.x;
var p = exp(logits[at] - Lane(normaliser[u.first + row]));
let target_ = u32(targets[u.first + row]);
${lanes === 4 ? 'if (thread.x == target_ / 4u) { p[target_ % 4u] -= 1.0; }' : 'if (thread.x == target_) { p -= 1.0; }'}
logits[at] = p * weights[u.first + row];`
}))

/** What a loss or a log-probability is computed from, and where it goes: `normaliser` and `nats` are `[rows]`. */
interface Scored {
  hidden: tf.Tensor
  table: WeightOperand
  bias?: tf.Tensor
  /** `[rows]` int32 on the device. */
  targets: tf.TensorInfo
  normaliser: tf.TensorInfo
  nats: tf.TensorInfo
}

/** Records `sign * -log p(target)` into `nats`, part by part; `use` sees the logits of a part, its first row and its hidden states, before they are freed. */
function score(
  run: Runner,
  { hidden, table, bias, targets, normaliser, nats }: Scored,
  sign: 1 | -1,
  part: number,
  use?: (logits: tf.TensorInfo, first: number, hidden: tf.TensorInfo) => void
): void {
  const rows = hidden.shape[0] as number
  const vocabulary = table.shape[0]
  const lanes = lanesFor(vocabulary)
  for (let first = 0; first < rows; first += part) {
    const count = Math.min(part, rows - first)
    const some = rowsOf(hidden, first, count)
    const logits = run.allocate([count, vocabulary])
    multiplyByWeight(run, logits, some, table, 'outIn', { bias })
    const owner = rowOwner(run)
    run.run(normaliserProgram(lanes, owner), {
      outputs: [normaliser, nats],
      inputs: [logits, targets],
      uniforms: [count, vocabulary / lanes, first, sign],
      groups: [owner === 'alone' ? Math.ceil(count / THREADS.alone) : count]
    })
    use?.(logits, first, some)
    run.free(logits)
  }
}

interface LossAttributes {
  /** How the table is read: its own shape and packing. */
  read: Omit<WeightOperand, 'tensor'>
  targets: Int32Array
  weights: Float32Array
  /** Rows whose logits exist at a time. */
  part: number
}

type Gradients = Partial<Record<'hiddenGradient' | 'tableGradient' | 'biasGradient', tf.Tensor>>
type LossTensors = Record<'hidden' | 'table', tf.Tensor> & { bias?: tf.Tensor } & Gradients

/** The gradients are computed with the loss, while the logits are there: neither has to be kept or computed again. */
const lossOperation = fused<LossAttributes>({
  name: 'FusedLabelLoss',
  saved: ['hiddenGradient', 'tableGradient', 'biasGradient'],
  shape: () => [],
  scratch: ({ hidden, table, bias }, { read }) => ({
    ...(wantsGradient(hidden as tf.Tensor) && { hiddenGradient: (hidden as tf.Tensor).shape }),
    ...(!read.packing && wantsGradient(table as tf.Tensor) && { tableGradient: read.shape }),
    ...(bias && wantsGradient(bias) && { biasGradient: bias.shape })
  }),
  forward: (run, output, inputs, { targets: ids, weights, read, part }) => {
    const { hidden, bias, hiddenGradient, tableGradient, biasGradient, ...tensors } = inputs as LossTensors
    const table = { tensor: tensors.table, ...read }
    const rows = ids.length
    const [vocabulary] = read.shape
    const [targets, shares] = [run.upload(ids), run.upload(weights)]
    const [normaliser, nats] = [run.allocate([rows]), run.allocate([rows])]
    const lanes = lanesFor(vocabulary)
    const differentiate = (logits: tf.TensorInfo, first: number, some: tf.TensorInfo): void => {
      const [count] = logits.shape as [number]
      run.run(gradientProgram(lanes), {
        outputs: [logits],
        inputs: [normaliser, targets, shares],
        uniforms: [vocabulary / lanes, first],
        groups: [Math.ceil(vocabulary / lanes / WORKGROUP), count]
      })
      if (hiddenGradient) multiplyByTransposed(run, rowsOf(hiddenGradient, first, count), logits, table, 'outIn')
      if (tableGradient) multiplyForWeight(run, tableGradient, logits, some, 'outIn', first > 0)
      if (biasGradient) columnSums(run, plainColumnSum, biasGradient, [logits], count, vocabulary, first > 0)
    }
    const isWanted = hiddenGradient ?? tableGradient ?? biasGradient
    score(run, { hidden, table, bias, targets, normaliser, nats }, 1, part, isWanted && differentiate)
    run.run(weightedSumProgram(), { outputs: [output], inputs: [nats, shares], uniforms: [rows], groups: [1] })
    run.free(nats, normaliser, targets, shares)
  },
  gradient: (_, dy, saved) => {
    const { hiddenGradient, tableGradient, biasGradient } = saved as Gradients
    const scaled = (gradient?: tf.Tensor) => (): tf.Tensor => (isUnit(dy) ? tf.clone(gradient!) : tf.mul(gradient!, dy))
    return { hidden: scaled(hiddenGradient), table: scaled(tableGradient), bias: scaled(biasGradient) }
  }
})

/**
 * `labelLoss`; see `../labelLoss`. Three dispatches, and with gradients one more for all and one for each, of every part; `logitsBytes` bounds the logits of a
 * part.
 */
export function labelLossFused({ hidden, table, bias, targets, weights }: LabelLossInputs, logitsBytes?: number): tf.Scalar {
  const [vocabulary, width] = table.shape
  const part = rowsOfPart(targets.length, vocabulary, width, logitsBytes ?? trainingLogitsBytes(vocabulary, width))
  const { tensor, read } = operandOf(table)
  return lossOperation({ hidden, table: tensor, bias }, { targets, weights, read, part }) as tf.Scalar
}

const logProbabilityOperation = fused<Omit<LossAttributes, 'weights'>>({
  name: 'FusedLabelLogProbabilities',
  shape: (_, { targets }) => [targets.length],
  forward: (run, nats, inputs, { targets: ids, read, part }) => {
    const { hidden, table, bias } = inputs as LossTensors
    const [targets, normaliser] = [run.upload(ids), run.allocate([ids.length])]
    score(run, { hidden, table: { tensor: table, ...read }, bias, targets, normaliser, nats }, -1, part)
    run.free(normaliser, targets)
  }
})

/** `labelLogProbabilities`; see `../labelLoss`. It has no gradient: training goes through `labelLoss`. */
export function labelLogProbabilitiesFused({ hidden, table, bias, targets }: LabelInputs, logitsBytes?: number): tf.Tensor1D {
  const [vocabulary, width] = table.shape
  const { tensor, read } = operandOf(table)
  const part = rowsOfPart(targets.length, vocabulary, width, logitsBytes)
  return logProbabilityOperation({ hidden, table: tensor, bias }, { targets, read, part }) as tf.Tensor1D
}
