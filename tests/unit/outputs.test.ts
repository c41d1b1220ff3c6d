// What a race on written answers shows: which of them a filter leaves, and the perplexity as a curve.
import { expect, test } from 'vitest'
import { lineOf, measuresOf, untrainedValue } from '../../src/app/playground/live/curveData'
import type { FinishedRun } from '../../src/app/playground/results/finished'
import { filtered, writtenExamples } from '../../src/app/playground/results/outputs'
import type { GenerationResult } from '../../src/engine/training/records'
import { RunCurves, type RunState } from '../../src/state/raceFold'

const run = (id: string, outputs: string[]): FinishedRun<GenerationResult> =>
  ({
    id,
    result: { kind: 'generation', outputs: outputs.map((output, i) => ({ text: `q${i}`, target: ['the sea', 'red barn'][i], output })) }
  }) as unknown as FinishedRun<GenerationResult>

test('examples hold the answers of every run, and a filter asks one of them', () => {
  const examples = writtenExamples([run('base', ['Sea!', 'blue barn']), run('tuned', ['a lake', 'a red barn'])])
  expect(examples.map(({ target, answers }) => [target, ...answers.map(({ isRight, tokenF1 }) => [isRight, tokenF1])])).toEqual([
    ['the sea', [true, 1], [false, 0]],
    ['red barn', [false, 0.5], [true, 1]]
  ])
  const targets = (...of: [Parameters<typeof filtered>[1], string]) => filtered(examples, ...of).map(({ target }) => target)
  expect(targets('all', 'tuned')).toEqual(['the sea', 'red barn'])
  expect(targets('right', 'tuned')).toEqual(['red barn'])
  expect(targets('wrong', 'tuned')).toEqual(['the sea'])
  expect(targets('right', 'base')).toEqual(['the sea'])
  expect(writtenExamples([])).toEqual([])
})

test('perplexity is drawn from the validation loss, from before the first step on', () => {
  const curves = new RunCurves(1)
  for (const [step, loss] of [
    [10, 2],
    [20, 1]
  ] as const) {
    curves.pushValidation({ step, seconds: step / 10, loss })
  }
  const state = { curves, untrained: { validationLoss: 3 } } as RunState
  expect(lineOf(state, 'validationPerplexity', 'steps')).toEqual({ x: [0, 10, 20], y: [3, 2, 1].map(Math.exp) })
  expect(lineOf(state, 'validationPerplexity', 'seconds').x).toEqual([0, 1, 2])
  expect(untrainedValue(state, 'validationPerplexity')).toBe(Math.exp(3))
  expect(curves.validationAccuracy).toHaveLength(0)
  expect(measuresOf('generation').map(({ value }) => value)).toEqual(['trainingLoss', 'validationLoss', 'validationPerplexity'])
})
