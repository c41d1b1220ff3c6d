// Gain against price: where each run stands between how much it trains and how much it gets right.
import { exampleScores, score, standardError } from '../../../state/score'
import type { FinishedRun } from './finished'

export interface Interval {
  low: number
  high: number
}

/** The 95 % interval of a share of `n` (Wilson 1927): unlike the plain one it stays within 0 and 1. */
export function wilsonInterval(share: number, n: number): Interval {
  if (n === 0) return { low: 0, high: 1 }
  const z = 1.96
  const centre = (share + (z * z) / (2 * n)) / (1 + (z * z) / n)
  const half = (z / (1 + (z * z) / n)) * Math.sqrt((share * (1 - share)) / n + (z * z) / (4 * n * n))
  return { low: Math.max(0, centre - half), high: Math.min(1, centre + half) }
}

export interface TradeOffPoint {
  run: FinishedRun
  /** 0 to 1 along a logarithmic axis that begins at nothing trained. */
  across: number
  score: number
  interval: Interval
}

/** Nothing trained stands this far left of the smallest power of ten. */
const NOTHING = -1

/** Powers of ten that the axis spans, from the smallest to the largest run. */
export function axisPowers(runs: readonly FinishedRun[]): { from: number; to: number } {
  const powers = runs
    .map((run) => run.result.cost.trainableParameters)
    .filter((count) => count > 0)
    .map(Math.log10)
  if (powers.length === 0) return { from: 0, to: 1 }
  const from = Math.floor(Math.min(...powers))
  return { from, to: Math.max(from + 1, Math.ceil(Math.max(...powers))) }
}

/** Where a count of trained numbers stands on the axis, 0 to 1. */
export function placeOf(count: number, { from, to }: { from: number; to: number }): number {
  const power = count === 0 ? from + NOTHING : Math.log10(count)
  return (power - from - NOTHING) / (to - from - NOTHING)
}

export function tradeOff(runs: readonly FinishedRun[]): TradeOffPoint[] {
  const powers = axisPowers(runs)
  return runs.map((run) => ({
    run,
    score: score(run.result),
    across: placeOf(run.result.cost.trainableParameters, powers),
    interval: intervalOf(run)
  }))
}

/** Where chance leaves the score: an accuracy is a share; a token F1 is a mean of any values, whose interval is the normal one. */
function intervalOf({ result }: FinishedRun): Interval {
  const value = score(result)
  if (result.kind === 'classification') return wilsonInterval(value, result.test.examples)
  const half = result.outputs.length === 0 ? 1 : 1.96 * standardError(exampleScores(result))
  return { low: Math.max(0, value - half), high: Math.min(1, value + half) }
}
