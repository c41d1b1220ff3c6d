// The one number that a run is judged by at a glance: accuracy where labels are named, token F1 where answers are written; and how far chance reaches.
import { tokenF1 } from '../engine/evaluation/textMetrics'
import type { RunResult } from '../engine/training/records'

/** Its name, as sentences and figures use it. */
export const scoreName = ({ kind }: RunResult): string => (kind === 'classification' ? 'accuracy' : 'token F1')

/** The mean over the test examples, or over those that were answered. */
export function score(result: RunResult): number {
  return result.kind === 'classification' ? result.test.accuracy : (result.test.tokenF1 ?? 0)
}

/** By test example, 0 to 1; the same order for all runs of a race. */
export function exampleScores(result: RunResult): number[] {
  if (result.kind === 'classification') return result.predictions.map(({ label, predicted }) => Number(label === predicted))
  return result.outputs.map(({ output, target }) => tokenF1(output, target))
}

/**
 * Half the width of the 95 % interval of the difference between two mean scores on the same examples, from the differences by example. For accuracies
 * these are the discordant pairs, and it is the Wald interval for paired proportions (Agresti 2013, section 11.1).
 */
export function pairedMargin(first: readonly number[], second: readonly number[]): number {
  const differences = first.slice(0, second.length).map((value, i) => value - second[i]!)
  return differences.length === 0 ? 1 : 1.96 * standardError(differences)
}

/** Of the mean: the standard deviation of the values over the root of their number. */
export function standardError(values: readonly number[]): number {
  const n = values.length
  const mean = values.reduce((sum, value) => sum + value, 0) / n
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0)) / n
}
