// How well a model answers a split: loss, metrics and the probabilities behind them.
import { assertDeviceHealthy } from '../device/start'
import { UserError } from '../errors'
import { combineAdaptations } from '../methods/combine'
import type { Adaptation } from '../methods/method'
import type { Decoder } from '../model/decoder'
import { readContext } from '../model/readContext'
import { nextTask } from '../nextTask'
import { median } from '../training/accounts'
import { forwardWork } from '../training/eta'
import { headScores, readFeatures, type Features } from './features'
import { classificationMetrics, type ClassificationMetrics } from './metrics'
import { addScores, emptyScores, labelProbabilities, scoredBatch, scoresLoss, type ScoringBatch } from './scoring'

/** Encoded examples of one split, ready to be scored. */
export interface Split {
  kind?: 'classification'
  /** Rendered prompts, for people. */
  texts: readonly string[]
  /** The true label of each example. */
  labels: readonly number[]
  batches: readonly ScoringBatch[]
  /** By label, the token ids of its word. */
  words: readonly (readonly number[])[]
  /** Tokens in front of every example, its begin token among them: solved examples. Read once. */
  context?: Int32Array
}

export interface Evaluation {
  /** Mean nats per label token of the true answers. */
  loss: number
  metrics: ClassificationMetrics
  /** `[examples][labels]`, each row summing to 1. */
  probabilities: number[][]
  /** Time computed, pauses between batches left out. */
  milliseconds: number
  /** Median over the batches per unit of `forwardWork`, so that the compilation of a first batch hardly counts. */
  millisecondsPerWork: number
}

/** Numbers that are not finite came out of a forward pass. */
export class NotFiniteError extends UserError {
  constructor() {
    super('The model answers with numbers that are not finite.', 'Lower the learning rate and start the run anew.')
  }
}

/**
 * Scores every label word for every example of the split. Between batches it waits for `between`, by default the next task of the event loop, so
 * that commands arrive; what that throws ends the evaluation. A label head answers in place of the words; `features` spares reading the split for it.
 * @throws NotFiniteError where a score is not a finite number
 */
export async function evaluate(
  decoder: Decoder,
  split: Split,
  adaptation: Adaptation = {},
  between: () => Promise<void> = nextTask,
  features?: Features
): Promise<Evaluation> {
  if (adaptation.labelScores) {
    const read = features ?? (await readFeatures(decoder, split, adaptation, between))
    const evaluation = await evaluateHead(read, split.labels, adaptation.labelScores)
    return features ? evaluation : { ...evaluation, milliseconds: evaluation.milliseconds + read.milliseconds }
  }
  const scores = emptyScores(split.labels.length, split.words.length)
  const rates: number[] = []
  let milliseconds = 0
  const context = split.context && readContext(decoder, split.context)
  const behind = context ? combineAdaptations([context.adaptation, adaptation]) : adaptation
  try {
    for (const scoring of split.batches) {
      const batch = scoredBatch(scoring)
      const started = performance.now()
      const values = decoder.logProbabilities(batch, behind)
      try {
        addScores(scores, scoring, await values.data())
      } finally {
        values.dispose()
      }
      assertDeviceHealthy()
      const taken = performance.now() - started
      milliseconds += taken
      rates.push(taken / forwardWork(decoder.config, batch.size * batch.time, batch.labelRows.length))
      await between()
    }
  } finally {
    context?.dispose()
  }
  const loss = scoresLoss(scores, split.labels, split.words)
  return evaluationOf(split.labels, scores, { loss, milliseconds, millisecondsPerWork: median(rates) })
}

/** The loss is the mean over the examples of the nats of the true label among the labels; the time is without that of the features. */
async function evaluateHead(
  features: Features,
  labels: readonly number[],
  labelScores: NonNullable<Adaptation['labelScores']>
): Promise<Evaluation> {
  const started = performance.now()
  const scores = await headScores(features, labelScores)
  assertDeviceHealthy()
  const loss = labels.reduce((sum, label, example) => sum - scores[example]![label]!, 0) / labels.length
  const { millisecondsPerWork } = features
  return evaluationOf(labels, scores, { loss, milliseconds: performance.now() - started, millisecondsPerWork })
}

function evaluationOf(
  labels: readonly number[],
  scores: number[][],
  { loss, milliseconds, millisecondsPerWork }: Pick<Evaluation, 'loss' | 'milliseconds' | 'millisecondsPerWork'>
): Evaluation {
  if (!scores.every((row) => row.every(Number.isFinite))) throw new NotFiniteError()
  const probabilities = labelProbabilities(scores)
  return { loss, metrics: classificationMetrics(labels, probabilities), probabilities, milliseconds, millisecondsPerWork }
}
