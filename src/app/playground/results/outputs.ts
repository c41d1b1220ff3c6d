// What the runs of a race wrote, example by example, and which examples a filter leaves.
import { exactMatch, tokenF1 } from '../../../engine/evaluation/textMetrics'
import type { GenerationResult } from '../../../engine/training/records'
import type { FinishedRun } from './finished'

export interface WrittenAnswer {
  run: FinishedRun<GenerationResult>
  output: string
  /** Word for word, but for capitals, articles and punctuation. */
  isRight: boolean
  tokenF1: number
}

export interface WrittenExample {
  text: string
  target: string
  /** In the order of the runs. */
  answers: WrittenAnswer[]
}

/** The answered test examples, in their order. All runs of a race answer the same ones; a prompt of a run's own is shown with the first run's words. */
export function writtenExamples(runs: readonly FinishedRun<GenerationResult>[]): WrittenExample[] {
  return (runs[0]?.result.outputs ?? []).map(({ text, target }, i) => ({
    text,
    target,
    answers: runs.map((run) => {
      const output = run.result.outputs[i]?.output ?? ''
      return { run, output, isRight: exactMatch(output, target) === 1, tokenF1: tokenF1(output, target) }
    })
  }))
}

export type Filter = 'all' | 'right' | 'wrong'

/** The examples that the named run answered so. */
export function filtered(examples: readonly WrittenExample[], filter: Filter, runId: string | undefined): WrittenExample[] {
  if (filter === 'all') return [...examples]
  return examples.filter(({ answers }) => answers.some(({ run, isRight }) => run.id === runId && isRight === (filter === 'right')))
}
