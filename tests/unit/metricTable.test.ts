import { describe, expect, it } from 'vitest'
import { generationMetrics } from '../../src/engine/evaluation/generationMetrics'
import { classificationMetrics } from '../../src/engine/evaluation/metrics'
import { metricsOf, metricTable } from '../../src/engine/evaluation/metricTable'
import type { ClassificationResult, Cost, GenerationResult, RunResult } from '../../src/engine/training/records'

const cost: Cost = {
  seconds: 8,
  compileSeconds: 1,
  evaluationSeconds: 2,
  steps: 100,
  tokens: 40_000,
  trainableParameters: 2560,
  adapterBytes: 10_400,
  peakBytes: 5e6
}
const result: ClassificationResult = {
  kind: 'classification',
  stopReason: 'budget',
  bestStep: 80,
  labels: ['a', 'b'],
  test: classificationMetrics(
    [0, 1, 1, 1],
    [
      [0.9, 0.1],
      [0.2, 0.8],
      [0.3, 0.7],
      [0.6, 0.4]
    ]
  ),
  validation: classificationMetrics(
    [0, 1],
    [
      [0.9, 0.1],
      [0.2, 0.8]
    ]
  ),
  untrained: classificationMetrics(
    [0, 1, 1, 1],
    [
      [0.9, 0.1],
      [0.9, 0.1],
      [0.3, 0.7],
      [0.6, 0.4]
    ]
  ),
  forgetting: { before: 3.9, after: 4.15, adapterOff: 3.9 },
  cost,
  predictions: []
}

const row = (id: string) => metricTable.find((one) => one.id === id)!
const shown = (id: string, of: RunResult = result) => {
  const value = row(id).value(of)
  return value === null ? null : row(id).format(value)
}

describe('the table of metrics', () => {
  it('has every number of the comparison once, with a title and one sentence', () => {
    const ids = metricTable.map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
    expect(new Set(metricTable.map(({ title }) => title)).size).toBe(ids.length)
    const averages = ['Macro', 'Micro', 'Weighted'].flatMap((mean) => [`precision${mean}`, `recall${mean}`, `f1${mean}`])
    expect(ids).toEqual(
      expect.arrayContaining([...averages, 'rocAuc', 'logLoss', 'calibrationError', 'matthews', 'gain', 'tokensPerSecond'])
    )
    for (const { explanation } of metricTable) expect(explanation).toMatch(/^[A-Z][^.]+(\.\d[^.]*)*\.$/)
  })

  it('reads and writes each as it is meant', () => {
    expect(shown('accuracy')).toBe('0.750')
    expect(shown('gain')).toBe('+0.250')
    expect(shown('untrainedAccuracy')).toBe('0.500')
    expect(shown('trainableParameters')).toBe('2,560')
    expect(shown('adapterBytes')).toBe('10.4 kB')
    expect(shown('seconds')).toBe('8.0 s')
    expect(shown('tokensPerSecond')).toBe('5.00 k tokens/s')
    expect(shown('forgotten')).toBe('+0.250')
    expect(shown('forgottenAdapterOff')).toBe('0.000')
  })

  it('tells apart means that differ', () => {
    const means = ['precisionMacro', 'precisionMicro', 'precisionWeighted', 'recallMacro'].map((id) => row(id).value(result))
    expect(means).toEqual([0.75, 0.75, 0.875, expect.closeTo(5 / 6, 12)])
  })

  it('charges nothing to a run that trains nothing', () => {
    const untrained = {
      ...result,
      cost: { ...cost, seconds: 0, steps: 0, tokens: 0, trainableParameters: 0, adapterBytes: 0, peakBytes: 0 }
    }
    for (const id of ['trainableParameters', 'adapterBytes', 'seconds', 'peakBytes', 'tokensPerSecond', 'steps'])
      expect(shown(id, untrained)).toBeNull()
    expect(shown('tokensPerSecond', { ...result, cost: { ...cost, seconds: 0 } })).toBeNull()
    expect(shown('accuracy', untrained)).toBe('0.750')
  })

  it('has of written answers what there is of them, and nothing of labels', () => {
    const metrics = generationMetrics(Math.log(8), 9, 30, [{ text: '', target: 'red barn', output: 'the barn' }])
    const written: GenerationResult = {
      kind: 'generation',
      stopReason: 'budget',
      bestStep: 80,
      test: metrics,
      validation: metrics,
      untrained: generationMetrics(Math.log(100), 9, 30, [{ text: '', target: 'red barn', output: 'sea' }]),
      forgetting: result.forgetting,
      cost,
      outputs: []
    }
    const ids = ['perplexity', 'untrainedPerplexity', 'tokenF1', 'tokenF1Gain', 'exactMatch', 'rougeL', 'answersWritten', 'accuracy']
    expect(ids.map((id) => shown(id, written))).toEqual(['8.000', '100.000', '0.667', '+0.667', '0.000', '0.500', '1', null])
    expect(metricsOf('generation').map(({ id }) => id)).not.toContain('accuracy')
    expect(metricsOf('classification').map(({ id }) => id)).not.toContain('perplexity')
    expect(metricsOf('generation').filter(({ kind }) => kind === undefined)).toEqual(metricTable.filter(({ group }) => group !== 'Gain'))
    const unwritten = { ...written, test: generationMetrics(1, 9, 30, []) }
    expect([shown('tokenF1', unwritten), shown('tokenF1Gain', unwritten), shown('forgotten', unwritten)]).toEqual([null, null, '+0.250'])
    for (const { formula } of metricsOf('generation')) if (formula) expect(formula).toMatch(/\.$/)
  })

  it('has no area where a class is alone', () => {
    expect(shown('rocAuc', { ...result, test: classificationMetrics([1], [[0.4, 0.6]]) })).toBeNull()
  })
})
