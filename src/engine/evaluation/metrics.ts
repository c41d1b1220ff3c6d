// Classification metrics from labels and probabilities, as scikit-learn 1.x defines them (zero_division = 0).

import { UserError } from '../errors'

export interface PrecisionRecallF1 {
  precision: number
  recall: number
  f1: number
}

export interface ClassificationMetrics {
  examples: number
  accuracy: number
  macro: PrecisionRecallF1
  micro: PrecisionRecallF1
  weighted: PrecisionRecallF1
  perClass: (PrecisionRecallF1 & { support: number })[]
  /** `confusion[true][predicted]` counts. */
  confusion: number[][]
  /** One against the rest, by class; null where a class is absent or is everything. */
  rocAucPerClass: (number | null)[]
  /** Mean of the defined ones; null where there is none. */
  rocAuc: number | null
  /** By class: one point for each distinct score, from (0, 0) to (1, 1). A rate is NaN where the class has no examples, or no others. */
  rocCurves: { falsePositiveRate: number[]; truePositiveRate: number[] }[]
  /** Mean nats of the true class. */
  logLoss: number
  /** Expected calibration error over ten equal bins of the top probability (Guo 2017). */
  calibrationError: number
  matthews: number
  balancedAccuracy: number
}

/** Probabilities below this count as this in the log loss, so that one certain mistake does not make it infinite. */
const smallestProbability = 1e-15

const calibrationBins = 10

/**
 * All metrics of a classifier.
 * @param labels true class of each example, from 0
 * @param probabilities `[examples][classes]`; the prediction is the first of the highest
 * @throws UserError where there are no examples, or a probability is not a number
 */
export function classificationMetrics(labels: readonly number[], probabilities: readonly (readonly number[])[]): ClassificationMetrics {
  const examples = labels.length
  const classes = probabilities[0]?.length ?? 0
  if (examples === 0 || classes === 0) throw new UserError('There are no examples to score.', 'Choose a task with examples in this split.')
  assertProbabilities(labels, probabilities, classes)

  const predicted = probabilities.map((row) => row.indexOf(Math.max(...row)))
  const confusion = Array.from({ length: classes }, () => new Array<number>(classes).fill(0))
  labels.forEach((label, i) => {
    const row = confusion[label] as number[]
    row[predicted[i] as number] = at(row, predicted[i] as number) + 1
  })
  const support = confusion.map(sum)
  const correct = confusion.map((row, c) => at(row, c))
  const perClass = support.map((count, c) => {
    const answered = sum(confusion.map((row) => at(row, c)))
    const hits = at(correct, c)
    return { precision: ratio(hits, answered), recall: ratio(hits, count), f1: ratio(2 * hits, answered + count), support: count }
  })
  const accuracy = sum(correct) / examples
  const curves = support.map((_, c) =>
    rocCurve(
      labels.map((label) => label === c),
      probabilities.map((row) => at(row, c))
    )
  )
  const defined = curves.flatMap(({ area }) => (area === null ? [] : [area]))
  return {
    examples,
    accuracy,
    macro: average(perClass, () => 1 / classes),
    micro: { precision: accuracy, recall: accuracy, f1: accuracy },
    weighted: average(perClass, ({ support: count }) => count / examples),
    perClass,
    confusion,
    rocAucPerClass: curves.map(({ area }) => area),
    rocAuc: defined.length > 0 ? sum(defined) / defined.length : null,
    rocCurves: curves.map(({ falsePositiveRate, truePositiveRate }) => ({ falsePositiveRate, truePositiveRate })),
    logLoss: sum(labels.map((label, i) => -Math.log(Math.max(at(probabilities[i] as number[], label), smallestProbability)))) / examples,
    calibrationError: calibrationError(labels, predicted, probabilities),
    matthews: matthews(confusion),
    balancedAccuracy: sum(perClass.map(({ recall }) => recall)) / support.filter((count) => count > 0).length
  }
}

const at = (list: readonly number[], i: number) => list[i] as number
const sum = (list: readonly number[]) => list.reduce((total, value) => total + value, 0)
const ratio = (part: number, whole: number) => (whole > 0 ? part / whole : 0)

function assertProbabilities(labels: readonly number[], probabilities: readonly (readonly number[])[], classes: number): void {
  if (probabilities.length !== labels.length) throw new Error(`${labels.length} labels, but ${probabilities.length} rows of probabilities.`)
  if (labels.some((label) => !Number.isInteger(label) || label < 0 || label >= classes))
    throw new Error(`A label is not one of ${classes} classes.`)
  if (probabilities.some((row) => row.length !== classes || !row.every(Number.isFinite))) {
    throw new UserError('The model answers with numbers that are not numbers.', 'Start the run anew with a lower learning rate.')
  }
}

function average(
  perClass: ClassificationMetrics['perClass'],
  weight: (row: ClassificationMetrics['perClass'][number]) => number
): PrecisionRecallF1 {
  const mean = (key: keyof PrecisionRecallF1) => sum(perClass.map((row) => row[key] * weight(row)))
  return { precision: mean('precision'), recall: mean('recall'), f1: mean('f1') }
}

/** The curve with every threshold kept, and the area under it by trapezia (Fawcett 2006); null where a rate is undefined. */
function rocCurve(positive: boolean[], scores: number[]) {
  const order = scores.map((_, i) => i).sort((a, b) => at(scores, b) - at(scores, a))
  const positives = positive.filter(Boolean).length
  const negatives = positive.length - positives
  const points = [{ falsePositives: 0, truePositives: 0 }]
  let [falsePositives, truePositives, doubleArea] = [0, 0, 0]
  order.forEach((i, rank) => {
    if (positive[i]) truePositives++
    else falsePositives++
    const next = order[rank + 1]
    if (next !== undefined && scores[next] === scores[i]) return
    const last = points.at(-1) as (typeof points)[number]
    doubleArea += (falsePositives - last.falsePositives) * (truePositives + last.truePositives)
    points.push({ falsePositives, truePositives })
  })
  return {
    falsePositiveRate: points.map((point) => point.falsePositives / negatives),
    truePositiveRate: points.map((point) => point.truePositives / positives),
    area: positives > 0 && negatives > 0 ? doubleArea / (2 * positives * negatives) : null
  }
}

/** Bins are closed on the right: (0, 0.1], (0.1, 0.2], ... */
function calibrationError(labels: readonly number[], predicted: readonly number[], probabilities: readonly (readonly number[])[]): number {
  const gaps = new Array<number>(calibrationBins).fill(0)
  probabilities.forEach((row, i) => {
    const confidence = at(row, at(predicted, i))
    const bin = Math.min(Math.max(Math.ceil(confidence * calibrationBins) - 1, 0), calibrationBins - 1)
    gaps[bin] = at(gaps, bin) + (predicted[i] === labels[i] ? 1 : 0) - confidence
  })
  return sum(gaps.map(Math.abs)) / labels.length
}

/** Matthews' correlation for any number of classes (Gorodkin 2004); 0 where labels or predictions are all the same. */
function matthews(confusion: readonly (readonly number[])[]): number {
  const trueCounts = confusion.map(sum)
  const predictedCounts = confusion.map((_, c) => sum(confusion.map((row) => at(row, c))))
  const total = sum(trueCounts)
  const dot = (a: number[], b: number[]) => sum(a.map((value, c) => value * at(b, c)))
  const covariance = sum(confusion.map((row, c) => at(row, c))) * total - dot(trueCounts, predictedCounts)
  const variances = (total ** 2 - dot(trueCounts, trueCounts)) * (total ** 2 - dot(predictedCounts, predictedCounts))
  return variances > 0 ? covariance / Math.sqrt(variances) : 0
}
