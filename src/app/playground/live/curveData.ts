// Which columns of a race a chart shows, as plain points: chosen by what is drawn and by what it is drawn over.
import type { RunResult } from '../../../engine/training/records'
import type { RunCurves, RunState } from '../../../state/raceFold'
import { decimate, type Points } from '../../../state/samples'

export type Measure = 'trainingLoss' | 'validationLoss' | 'validationAccuracy' | 'validationPerplexity'
export type Axis = 'steps' | 'seconds'

interface MeasureRow {
  value: Measure
  label: string
  unit: string
  explanation: string
}

const LOSS = 'nats per label, on a logarithmic scale'

const labelMeasures: readonly MeasureRow[] = [
  {
    value: 'trainingLoss',
    label: 'Training loss',
    unit: LOSS,
    explanation:
      'How surprised the model is by the right label among all words that it knows, on the batch it is about to learn from. Thin: each step; bold: smoothed.'
  },
  {
    value: 'validationLoss',
    label: 'Validation loss',
    unit: LOSS,
    explanation:
      'How surprised the model is by the right label among all words that it knows, on examples that it never learns from. The log loss of the table looks at the labels alone.'
  },
  {
    value: 'validationAccuracy',
    label: 'Validation accuracy',
    unit: 'share of answers that are right',
    explanation:
      'The share of validation examples that are answered rightly. The step with the best F1 on them is kept; the table is made from other examples.'
  }
]

const TOKEN_LOSS = 'nats per token, on a logarithmic scale'

const writtenMeasures: readonly MeasureRow[] = [
  {
    value: 'trainingLoss',
    label: 'Training loss',
    unit: TOKEN_LOSS,
    explanation:
      'How surprised the model is by each token of the wanted answers, on the batch it is about to learn from. Thin: each step; bold: smoothed.'
  },
  {
    value: 'validationLoss',
    label: 'Validation loss',
    unit: TOKEN_LOSS,
    explanation: 'How surprised the model is by each token of the wanted answers, on examples that it never learns from.'
  },
  {
    value: 'validationPerplexity',
    label: 'Validation perplexity',
    unit: 'equally likely tokens, on a logarithmic scale',
    explanation:
      'Among how many equally likely tokens the model seems to choose at each token of the wanted answers: e to the power of the validation loss. The step where it is lowest is kept.'
  }
]

export const measuresOf = (kind: RunResult['kind']): readonly MeasureRow[] => (kind === 'generation' ? writtenMeasures : labelMeasures)

export const axes: readonly { value: Axis; label: string }[] = [
  { value: 'steps', label: 'Steps' },
  { value: 'seconds', label: 'Seconds' }
]

/** More points than a chart has pixels show nothing more. */
const POINTS_DRAWN = 1200

interface Line extends Points {
  /** The measured values behind a smoothed line, drawn thinner. */
  faint?: Points
}

function column(
  curves: RunCurves,
  measure: Measure,
  axis: Axis
): { x: ArrayLike<number>; y: ArrayLike<number>; faint?: ArrayLike<number> } {
  switch (measure) {
    case 'trainingLoss':
      return { x: axis === 'steps' ? curves.loss.x : curves.seconds.y, y: curves.smoothLoss.y, faint: curves.loss.y }
    case 'validationLoss':
      return { x: axis === 'steps' ? curves.validationLoss.x : curves.validationSeconds.y, y: curves.validationLoss.y }
    case 'validationPerplexity':
      return { x: axis === 'steps' ? curves.validationLoss.x : curves.validationSeconds.y, y: curves.validationLoss.y.map(Math.exp) }
    case 'validationAccuracy':
      return { x: axis === 'steps' ? curves.validationAccuracy.x : curves.validationSeconds.y, y: curves.validationAccuracy.y }
  }
}

/** A run's line, bounded in points. Validation begins with what the untrained run answered, at 0. */
export function lineOf(run: RunState, measure: Measure, axis: Axis): Line {
  const { x, y, faint } = column(run.curves, measure, axis)
  const line: Line = decimate(x, y, POINTS_DRAWN)
  if (faint) line.faint = decimate(x, faint, POINTS_DRAWN)
  const start = untrainedValue(run, measure)
  if (start !== undefined && line.x[0] !== 0) {
    line.x.unshift(0)
    line.y.unshift(start)
  }
  return line
}

/** What the run answered before its first step; undefined where that is not measured. */
export function untrainedValue({ untrained }: RunState, measure: Measure): number | undefined {
  if (measure === 'validationLoss') return untrained?.validationLoss
  if (measure === 'validationPerplexity') return untrained && Math.exp(untrained.validationLoss)
  return measure === 'validationAccuracy' ? untrained?.accuracy : undefined
}

export interface Reading {
  step: number
  loss?: number
  validationLoss?: number
  validationAccuracy?: number
}

/** The run's numbers at a place of the x axis: the last ones measured up to there. */
export function readingAt(run: RunState, axis: Axis, place: number): Reading {
  const { curves } = run
  const stepIndex = lastUpTo(axis === 'steps' ? curves.loss.x : curves.seconds.y, place)
  const validationIndex = lastUpTo(axis === 'steps' ? curves.validationLoss.x : curves.validationSeconds.y, place)
  const reading: Reading = { step: curves.loss.x[stepIndex] ?? 0 }
  const loss = curves.loss.y[stepIndex]
  const validationLoss = curves.validationLoss.y[validationIndex] ?? run.untrained?.validationLoss
  const validationAccuracy = curves.validationAccuracy.y[validationIndex] ?? run.untrained?.accuracy
  if (loss !== undefined) reading.loss = loss
  if (validationLoss !== undefined) reading.validationLoss = validationLoss
  if (validationAccuracy !== undefined) reading.validationAccuracy = validationAccuracy
  return reading
}

/** Index of the last value that is not above `limit`, in rising values; -1 where all are. */
function lastUpTo(values: Float64Array, limit: number): number {
  let low = 0
  let high = values.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((values[middle] as number) <= limit) low = middle + 1
    else high = middle
  }
  return low - 1
}
