import { describe, expect, it } from 'vitest'
import { bestColumns, sortColumns, type Column } from '../../src/app/playground/results/comparisonColumns'
import { reliability } from '../../src/app/playground/results/reliability'
import { placeOf, wilsonInterval } from '../../src/app/playground/results/tradeOff'
import { timeLeft } from '../../src/app/playground/live/timeLeft'
import type { MetricRow } from '../../src/engine/evaluation/metricTable'
import { generationMetrics, type Output } from '../../src/engine/evaluation/generationMetrics'
import type { Prediction, RunResult } from '../../src/engine/training/records'
import { pairedMargin } from '../../src/state/score'
import { verdict, type VerdictRun } from '../../src/state/verdict'

/** Predictions of which those at the given places are right. */
function answers(total: number, isRight: (i: number) => boolean): Prediction[] {
  return Array.from({ length: total }, (_, i) => ({
    text: `${i}`,
    label: 0,
    predicted: isRight(i) ? 0 : 1,
    probabilities: isRight(i) ? [0.9, 0.1] : [0.2, 0.8]
  }))
}

interface Facts {
  right: number
  trained?: number
  forgot?: number
  leftover?: number
  stopReason?: RunResult['stopReason']
}

function run(name: string, { right, trained = 0, forgot = 0, leftover = forgot, stopReason = 'budget' }: Facts): VerdictRun {
  const predictions = answers(100, (i) => i < right)
  const result = {
    kind: 'classification',
    stopReason,
    bestStep: 10,
    predictions,
    test: { accuracy: right / 100 },
    cost: { trainableParameters: trained },
    forgetting: { before: 4, after: 4 + forgot, adapterOff: 4 + leftover }
  }
  return { name, result: result as unknown as RunResult }
}

const baseline = run('Hand-written prompt', { right: 55 })

describe('verdict', () => {
  it('tells gain, price and harm of every tuned run, the most accurate first', () => {
    const soft = run('Soft prompt', { right: 70, trained: 2560, forgot: 0.4, leftover: 0 })
    const all = run('All weights', { right: 75, trained: 1_901_696, forgot: 0.4 })
    expect(verdict(baseline, [soft, all]).map(({ text }) => text)).toEqual([
      'All weights: 0.75 accuracy, +0.20 over the hand-written prompt, but it forgot 0.40 nats a token of other text.',
      'Soft prompt: 0.70 accuracy, +0.15 over the hand-written prompt, with 0.1\u00a0% of the numbers trained, and taken off, it leaves the model as it was.'
    ])
  })

  it('says when a difference may be chance, when there is none, and when tuning did harm', () => {
    const [chance] = verdict(baseline, [run('LoRA', { right: 57 })])
    expect(chance?.text).toBe('LoRA: 0.57 accuracy, +0.02 over the hand-written prompt (chance alone could do that).')
    const [same] = verdict(baseline, [run('LoRA', { right: 55 })])
    expect(same?.text).toBe('LoRA: 0.55 accuracy, the same as the hand-written prompt.')
    const [worse] = verdict(baseline, [run('LoRA', { right: 40 })])
    expect(worse?.text).toBe('LoRA: 0.40 accuracy, −0.15 against the hand-written prompt.')
  })

  it('does not praise a run that diverged', () => {
    const [sentence] = verdict(baseline, [run('LoRA', { right: 90, stopReason: 'diverged' })])
    expect(sentence?.text).toBe('LoRA: its loss stopped being a number after step 10; a lower learning rate may help.')
  })

  it('judges written answers by token F1, and tells their perplexity', () => {
    const written = (name: string, right: number, perplexity: number, trained: number): VerdictRun => {
      const outputs: Output[] = Array.from({ length: 20 }, (_, i) => ({
        text: '',
        target: 'red barn',
        output: i < right ? 'a red barn' : 'sea'
      }))
      const metrics = (value: number) => generationMetrics(Math.log(value), 40, 200, outputs)
      const facts = { bestStep: 10, stopReason: 'budget' as const, forgetting: { before: 4, after: 4, adapterOff: 4 } }
      const cost = { trainableParameters: trained } as RunResult['cost']
      return {
        name,
        result: {
          kind: 'generation',
          ...facts,
          cost,
          outputs,
          test: metrics(perplexity),
          validation: metrics(1),
          untrained: metrics(120.44)
        }
      }
    }
    const [all, soft] = verdict(written('Hand-written prompt', 1, 120.44, 0), [
      written('Soft prompt', 2, 31.25, 2560),
      written('All weights', 9, 8.25, 1_901_696)
    ])
    expect(all?.text).toBe('All weights: 0.45 token F1, +0.40 over the hand-written prompt, perplexity 8.25 where it was 120.')
    expect(soft?.text).toContain(
      '0.10 token F1, +0.05 over the hand-written prompt (chance alone could do that), perplexity 31.3 where it was 120'
    )
  })

  it('has a sentence for a race without tuned runs', () => {
    expect(verdict(baseline, [])[0]?.text).toBe('Hand-written prompt: 0.55 accuracy, without any tuning.')
  })
})

describe('pairedMargin', () => {
  it('follows the Wald interval for paired proportions', () => {
    // 10 right in the first alone, 4 in the second alone, of 100: 1.96 * sqrt(14 - 36 / 100) / 100.
    const scores = (isRight: (i: number) => boolean) => Array.from({ length: 100 }, (_, i) => Number(isRight(i)))
    const margin = pairedMargin(
      scores((i) => i < 50),
      scores((i) => i >= 10 && i < 54)
    )
    expect(margin).toBeCloseTo((1.96 * Math.sqrt(14 - 0.36)) / 100, 12)
  })

  it('takes any scores: differences of 0.5 and −0.1 lie 0.3 about their mean of 0.2', () => {
    expect(pairedMargin([0.75, 0.4], [0.25, 0.5])).toBeCloseTo((1.96 * Math.sqrt(2 * 0.3 ** 2)) / 2, 12)
  })

  it('is nothing where both answer alike, and everything where nothing was asked', () => {
    expect(pairedMargin([1, 0, 1], [1, 0, 1])).toBe(0)
    expect(pairedMargin([], [])).toBe(1)
  })
})

describe('the comparison’s columns', () => {
  const row = (better: MetricRow['better'], decimals = 2): MetricRow => ({
    id: 'x',
    title: 'X',
    explanation: '',
    group: 'Gain',
    better,
    short: true,
    value: (result) => (result.kind === 'classification' ? result.test.accuracy : null),
    format: (value) => value.toFixed(decimals)
  })
  const column = (id: string, place: number, accuracy?: number): Column => ({
    id,
    name: id,
    place,
    ...(accuracy !== undefined && { result: { kind: 'classification', test: { accuracy } } as unknown as RunResult })
  })
  const columns = [column('a', 0, 0.5), column('b', 1), column('c', 2, 0.7), column('d', 3, NaN)]

  it('are sorted with the best first and those without a number last', () => {
    expect(sortColumns(columns, row('higher')).map(({ id }) => id)).toEqual(['c', 'a', 'b', 'd'])
    expect(sortColumns(columns, row('lower')).map(({ id }) => id)).toEqual(['a', 'c', 'b', 'd'])
    expect(sortColumns([...columns].reverse(), undefined).map(({ id }) => id)).toEqual(['a', 'b', 'c', 'd'])
  })

  it('mark all that look equally good, and none where all do or where there is no better', () => {
    const near = [column('a', 0, 0.701), column('b', 1, 0.699), column('c', 2, 0.6)]
    expect([...bestColumns(near, row('higher'))]).toEqual(['a', 'b'])
    expect([...bestColumns(near, row('lower'))]).toEqual(['c'])
    expect([...bestColumns(near, row('higher', 0))]).toEqual([])
    expect([...bestColumns(near, row('none'))]).toEqual([])
  })
})

describe('reliability', () => {
  it('puts answers in bins that are closed above, and leaves empty ones out', () => {
    const at = (top: number, right: boolean): Prediction => ({
      text: '',
      label: right ? 0 : 1,
      predicted: 0,
      probabilities: [top, 1 - top]
    })
    expect(reliability([at(0.6, true), at(0.58, false), at(0.61, true), at(1, true)])).toEqual([
      { stated: expect.closeTo(0.59, 12) as number, right: 0.5, share: 0.5 },
      { stated: 0.61, right: 1, share: 0.25 },
      { stated: 1, right: 1, share: 0.25 }
    ])
  })
})

describe('timeLeft', () => {
  it('is as rough as an estimate', () => {
    expect([0.4, 7.2, 47, 92, 600, 3700].map(timeLeft)).toEqual([
      'almost done',
      'about 8 s left',
      'about 50 s left',
      'about 2 min left',
      'about 10 min left',
      'about 1 h 2 min left'
    ])
  })
})

describe('the trade-off figure', () => {
  it('has Wilson’s interval', () => {
    // 8 of 10: 0.4902 to 0.9433, as published tables have it.
    expect(wilsonInterval(0.8, 10).low).toBeCloseTo(0.4902, 4)
    expect(wilsonInterval(0.8, 10).high).toBeCloseTo(0.9433, 4)
    expect(wilsonInterval(1, 20).high).toBe(1)
    expect(wilsonInterval(0.5, 0)).toEqual({ low: 0, high: 1 })
  })

  it('puts nothing trained at the left end and powers of ten evenly', () => {
    const powers = { from: 3, to: 7 }
    expect([0, 1e3, 1e4, 1e7].map((count) => placeOf(count, powers))).toEqual(
      [0, 0.2, 0.4, 1].map((at) => expect.closeTo(at, 12) as number)
    )
  })
})
