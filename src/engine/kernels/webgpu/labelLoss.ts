// Cross-entropy at the label rows: logits, their normaliser, and the gradient written over the logits.
import * as tf from '@tensorflow/tfjs'
import { derived, type HostArray } from '../../hostArrays'
import type { LabelInputs, LabelLossInputs } from '../labelLoss'
import { fused, once } from './fused'
import { gradientOfBias, gradientOfInput, gradientOfWeight, multiplyByWeight, operandOf, type WeightOperand } from './linear'
import { lanesFor, variants, type Lanes } from './program'
import { WORKGROUP, type Runner } from './run'

/** Logits that exist at a time. Of more rows only a part goes at once, and the backward pass computes their logits again. */
const LOGITS_BYTES = 64 * 2 ** 20

const THREADS = 128

/**
 * A workgroup owns a row of logits: each thread keeps a running maximum and a running sum of exponentials relative to it over every 128th lane, and the
 * first thread joins the 128 pairs. One pass over the row, and no overflow at any logit.
 */
const normaliserProgram = variants('labelNormaliser', (lanes: Lanes) => ({
  lanes,
  outputs: { normaliser: 'f32', nats: 'f32' },
  inputs: { logits: 'Lane', targets: 'i32' },
  uniforms: { width: 'u32', sign: 'f32' },
  workgroup: [THREADS],
  declarations: `var<workgroup> maxima: array<f32, ${THREADS}>;
var<workgroup> sums: array<f32, ${THREADS}>;`,
  main: `let row = group.x;
var top = -1e30;
var sum = 0.0;
for (var at = rank; at < u.width; at += ${THREADS}u) {
  let z = logits[row * u.width + at];
  let higher = max(top, largest(z));
  sum = sum * exp(top - higher) + total(exp(z - Lane(higher)));
  top = higher;
}
maxima[rank] = top;
sums[rank] = sum;
workgroupBarrier();
if (rank != 0u) { return; }
for (var other = 1u; other < ${THREADS}u; other++) { top = max(top, maxima[other]); }
var joined = 0.0;
for (var other = 0u; other < ${THREADS}u; other++) { joined += sums[other] * exp(maxima[other] - top); }
let log = top + log(joined);
let target_ = u32(targets[row]);
normaliser[row] = log;
nats[row] = u.sign * (log - ${lanes === 4 ? 'logits[row * u.width + target_ / 4u][target_ % 4u]' : 'logits[row * u.width + target_]'});`
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

/** Over the logits: `dy * weight * (softmax(logits) - onehot(target))`, a workgroup for 64 lanes of one row. */
const gradientProgram = variants('labelGradient', (lanes: Lanes) => ({
  lanes,
  outputs: { logits: 'Lane' },
  inputs: { normaliser: 'f32', targets: 'i32', weights: 'f32', dy: 'f32' },
  uniforms: { width: 'u32' },
  workgroup: [WORKGROUP],
  main: `let row = group.y;
if (thread.x >= u.width) { return; }
let at = row * u.width + thread.x;
var p = exp(logits[at] - Lane(normaliser[row]));
let target_ = u32(targets[row]);
${lanes === 4 ? 'if (thread.x == target_ / 4u) { p[target_ % 4u] -= 1.0; }' : 'if (thread.x == target_) { p -= 1.0; }'}
logits[at] = p * (weights[row] * dy[0]);`
}))

/** Rows of logits that go at once: all, or as many as fit. */
function partOf(rows: number, vocabulary: number, bytes: number): number {
  return Math.min(rows, Math.max(1, Math.floor(bytes / (vocabulary * 4))))
}

/** Records logits `[rows, vocabulary]`, their normaliser `[rows]`, and `sign * -log p(target)` into `nats` `[rows]`. */
function normalise(
  run: Runner,
  tensors: Record<'hidden' | 'logits' | 'normaliser' | 'nats', tf.TensorInfo> & { table: WeightOperand; bias?: tf.TensorInfo },
  targets: Int32Array,
  sign: 1 | -1
): void {
  const { hidden, table, bias, logits, normaliser, nats } = tensors
  const vocabulary = table.shape[0]
  const lanes = lanesFor(vocabulary)
  multiplyByWeight(run, logits, hidden, table, 'outIn', { bias })
  const wanted = run.upload(targets)
  run.run(normaliserProgram(lanes), {
    outputs: [normaliser, nats],
    inputs: [logits, wanted],
    uniforms: [vocabulary / lanes, sign],
    groups: [targets.length]
  })
  run.free(wanted)
}

interface LossAttributes {
  /** How the table is read: its own shape and packing. */
  read: Omit<WeightOperand, 'tensor'>
  targets: Int32Array
  weights: Float32Array
  /** The forward pass keeps its logits for the backward pass, which else computes them again for each gradient. */
  keepLogits: boolean
}

type LossTensors = Record<'hidden' | 'table' | 'normaliser', tf.Tensor> & { bias?: tf.Tensor; logits?: tf.Tensor }

const lossOperation = fused<LossAttributes>({
  name: 'FusedLabelLoss',
  saved: ['hidden', 'table', 'bias', 'logits', 'normaliser'],
  shape: () => [],
  scratch: (_, { targets, keepLogits, read }) => ({
    normaliser: [targets.length],
    ...(keepLogits ? { logits: [targets.length, read.shape[0]] } : {})
  }),
  forward: (run, output, inputs, { targets, weights, read }) => {
    const { hidden, bias, normaliser, logits: kept, ...tensors } = inputs as LossTensors
    const table = { tensor: tensors.table, ...read }
    const rows = targets.length
    const logits = kept ?? run.allocate([rows, read.shape[0]])
    const nats = run.allocate([rows])
    normalise(run, { hidden, table, bias, logits, normaliser, nats }, targets, 1)
    const shares = run.upload(weights)
    run.run(weightedSumProgram(), { outputs: [output], inputs: [nats, shares], uniforms: [rows], groups: [1] })
    run.free(nats, shares)
    if (!kept) run.free(logits)
  },
  gradient: (run, dy, inputs, { targets, weights, read }) => {
    const { hidden, bias, normaliser, logits: kept, ...tensors } = inputs as LossTensors
    const table = { tensor: tensors.table, ...read }
    const vocabulary = read.shape[0]
    const overwrite = (logits: tf.TensorInfo): void => {
      const lanes = lanesFor(vocabulary)
      const [wanted, shares] = [run.upload(targets), run.upload(weights)]
      run.run(gradientProgram(lanes), {
        outputs: [logits],
        inputs: [normaliser, wanted, shares, dy],
        uniforms: [vocabulary / lanes],
        groups: [Math.ceil(vocabulary / lanes / WORKGROUP), targets.length]
      })
      run.free(wanted, shares)
    }
    const overwriteKept = once(() => overwrite(kept as tf.Tensor))
    const fromLogits = (use: (gradient: tf.TensorInfo) => tf.Tensor): tf.Tensor => {
      if (kept) {
        overwriteKept()
        return use(kept)
      }
      const again = run.allocate([targets.length, vocabulary])
      multiplyByWeight(run, again, hidden, table, 'outIn', { bias })
      overwrite(again)
      const result = use(again)
      run.free(again)
      return result
    }
    return {
      hidden: () => fromLogits((gradient) => gradientOfInput(run, gradient, table, 'outIn')),
      table: () => fromLogits((gradient) => gradientOfWeight(run, gradient, hidden, 'outIn')),
      bias: () => fromLogits((gradient) => gradientOfBias(run, gradient))
    }
  }
})

/** `labelLoss`; see `../labelLoss`. Three dispatches, and one more a gradient and one for all. `logitsBytes` bounds the logits that exist at a time. */
export function labelLossFused({ hidden, table, bias, targets, weights }: LabelLossInputs, logitsBytes = LOGITS_BYTES): tf.Scalar {
  const rows = targets.length
  const part = partOf(rows, table.shape[0], logitsBytes)
  const { tensor, read } = operandOf(table)
  if (part === rows) return lossOperation({ hidden, table: tensor, bias }, { targets, weights, read, keepLogits: true }) as tf.Scalar
  return tf.tidy(() => {
    let sum: tf.Tensor | undefined
    for (let start = 0; start < rows; start += part) {
      const end = Math.min(rows, start + part)
      const some = tf.slice(hidden, [start, 0], [end - start, -1])
      const ofPart = <Values extends HostArray>(all: Values): Values => derived(all, (values) => values.slice(start, end) as Values)
      const attributes = { targets: ofPart(targets), weights: ofPart(weights), read, keepLogits: false }
      const loss = lossOperation({ hidden: some, table: tensor, bias }, attributes)
      sum = sum ? tf.add(sum, loss) : loss
    }
    return sum as tf.Scalar
  })
}

const logProbabilityOperation = fused<Pick<LossAttributes, 'targets' | 'read'>>({
  name: 'FusedLabelLogProbabilities',
  shape: (_, { targets }) => [targets.length],
  forward: (run, nats, inputs, { targets, read }) => {
    const { hidden, table, bias } = inputs as LossTensors
    const logits = run.allocate([targets.length, read.shape[0]])
    const normaliser = run.allocate([targets.length])
    normalise(run, { hidden, table: { tensor: table, ...read }, bias, logits, normaliser, nats }, targets, -1)
    run.free(logits, normaliser)
  }
})

/** `labelLogProbabilities`; see `../labelLoss`. It has no gradient: training goes through `labelLoss`. */
export function labelLogProbabilitiesFused({ hidden, table, bias, targets }: LabelInputs, logitsBytes = LOGITS_BYTES): tf.Tensor1D {
  const rows = targets.length
  const part = partOf(rows, table.shape[0], logitsBytes)
  const { tensor, read } = operandOf(table)
  if (part === rows) return logProbabilityOperation({ hidden, table: tensor, bias }, { targets, read }) as tf.Tensor1D
  return tf.tidy(() => {
    const parts: tf.Tensor1D[] = []
    for (let start = 0; start < rows; start += part) {
      const end = Math.min(rows, start + part)
      const some = tf.slice(hidden, [start, 0], [end - start, -1])
      parts.push(
        logProbabilityOperation({ hidden: some, table: tensor, bias }, { targets: targets.slice(start, end), read }) as tf.Tensor1D
      )
    }
    return tf.concat(parts)
  })
}
