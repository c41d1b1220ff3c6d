// The race in plain words, from its numbers alone: who gained how much, what it cost, what it forgot, and whether chance could explain it.
import type { RunResult } from '../engine/training/records'
import { exampleScores, pairedMargin, score, scoreName } from './score'

export interface VerdictRun {
  name: string
  result: RunResult
}

/** A loss on general text that rose by less is not called forgetting, in nats per token. */
const FORGETTING_WORTH_A_WORD = 0.02

const two = (value: number) => value.toFixed(2)
const signed = (value: number) => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(2)}`

function share(part: number, whole: number): string {
  const percent = (100 * part) / whole
  if (percent >= 10) return `${percent.toFixed(0)}\u00a0%`
  return percent >= 0.1 ? `${percent.toFixed(1)}\u00a0%` : `${percent.toPrecision(1)}\u00a0%`
}

/** "0.70 accuracy": the score with its name. */
const named = (result: RunResult) => `${two(score(result))} ${scoreName(result)}`

function gainClause(run: VerdictRun, baseline: VerdictRun): string {
  const gain = score(run.result) - score(baseline.result)
  const margin = pairedMargin(exampleScores(run.result), exampleScores(baseline.result))
  const base = `${run.name}: ${named(run.result)}`
  if (Math.abs(gain) < 0.005) return `${base}, the same as the ${lower(baseline.name)}`
  const clause = `${base}, ${signed(gain)} ${gain > 0 ? 'over' : 'against'} the ${lower(baseline.name)}`
  return Math.abs(gain) <= margin ? `${clause} (chance alone could do that)` : clause
}

/** Where answers are written: how much better the wanted ones are foreseen, which shows long before the model writes them. */
function perplexityClause({ result }: VerdictRun): string | undefined {
  if (result.kind !== 'generation') return undefined
  return `perplexity ${result.test.perplexity.toPrecision(3)} where it was ${result.untrained.perplexity.toPrecision(3)}`
}

function harmClause({ result }: VerdictRun): string | undefined {
  const forgot = result.forgetting.after - result.forgetting.before
  if (forgot < FORGETTING_WORTH_A_WORD) return undefined
  const undone = Math.abs(result.forgetting.adapterOff - result.forgetting.before) < 1e-6
  return undone ? 'and taken off, it leaves the model as it was' : `but it forgot ${two(forgot)} nats a token of other text`
}

const lower = (name: string) => name.charAt(0).toLowerCase() + name.slice(1)

/**
 * One sentence a tuned run, the best first, as `{ name, text }` so that the page can set each in its colour.
 * Runs that could not be tuned say so. Without tuned runs, one sentence on the hand-written prompt.
 */
export function verdict(baseline: VerdictRun, tuned: readonly VerdictRun[]): { name: string; text: string }[] {
  if (tuned.length === 0) {
    return [{ name: baseline.name, text: `${baseline.name}: ${named(baseline.result)}, without any tuning.` }]
  }
  const most = Math.max(...tuned.map((run) => run.result.cost.trainableParameters))
  return [...tuned]
    .sort((a, b) => score(b.result) - score(a.result))
    .map((run) => {
      if (run.result.stopReason === 'diverged') {
        const text = `${run.name}: its loss stopped being a number after step ${run.result.bestStep}; a lower learning rate may help.`
        return { name: run.name, text }
      }
      const clauses = [gainClause(run, baseline)]
      const perplexity = perplexityClause(run)
      if (perplexity) clauses.push(perplexity)
      const { trainableParameters } = run.result.cost
      if (trainableParameters < most) clauses.push(`with ${share(trainableParameters, most)} of the numbers trained`)
      const harm = harmClause(run)
      if (harm) clauses.push(harm)
      return { name: run.name, text: `${clauses.join(', ')}.` }
    })
}
