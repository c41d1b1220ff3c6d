import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { UserError } from '../../src/engine/errors'
import { classificationMetrics } from '../../src/engine/evaluation/metrics'

/** Any classifier's answers: labels and rows that sum to 1, coarse enough that scores tie. */
const answers = fc.integer({ min: 1, max: 5 }).chain((classes) => {
  const row = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: classes, maxLength: classes }).map((weights) => {
    const sum = weights.reduce((total, weight) => total + weight, 0)
    return weights.map((weight) => weight / sum)
  })
  return fc.array(fc.tuple(fc.nat(classes - 1), row), { minLength: 1, maxLength: 40 }).map((pairs) => ({
    classes,
    labels: pairs.map(([label]) => label),
    probabilities: pairs.map(([, probabilities]) => probabilities)
  }))
})

/** Two classes; the second one's probability is a multiple of 1/8, which 1 - p gives back exactly. */
const binary = fc
  .array(fc.tuple(fc.nat(1), fc.nat(8)), { minLength: 1, maxLength: 40 })
  .map((pairs) => ({ labels: pairs.map(([label]) => label), scores: pairs.map(([, eighths]) => eighths / 8) }))

const close = (actual: number | null, expected: number | null) => {
  if (actual === null || expected === null) expect(actual).toBe(expected)
  else expect(actual).toBeCloseTo(expected, 10)
}

describe('classification metrics', () => {
  it('of a small case are those worked out by hand', () => {
    const ours = classificationMetrics(
      [0, 0, 1, 1],
      [
        [0.9, 0.1],
        [0.4, 0.6],
        [0.35, 0.65],
        [0.2, 0.8]
      ]
    )
    expect(ours.confusion).toEqual([
      [1, 1],
      [0, 2]
    ])
    expect(ours.accuracy).toBe(0.75)
    expect(ours.perClass[0]).toEqual({ precision: 1, recall: 0.5, f1: 2 / 3, support: 2 })
    expect(ours.rocAuc).toBe(1)
    expect(ours.rocCurves[1]).toEqual({ falsePositiveRate: [0, 0, 0, 0.5, 1], truePositiveRate: [0, 0.5, 1, 1, 1] })
    close(ours.logLoss, -(Math.log(0.9) + Math.log(0.4) + Math.log(0.65) + Math.log(0.8)) / 4)
    close(ours.calibrationError, (0.1 + 0.6 + 0.35 + 0.2) / 4)
    close(ours.matthews, 1 / Math.sqrt(3))
  })

  it('do not depend on the order of the examples', () => {
    fc.assert(
      fc.property(answers, fc.infiniteStream(fc.nat()), ({ labels, probabilities }, keys) => {
        const order = labels.map((_, i) => ({ i, key: keys.next().value as number })).sort((a, b) => a.key - b.key)
        const ours = classificationMetrics(labels, probabilities)
        const shuffled = classificationMetrics(
          order.map(({ i }) => labels[i]!),
          order.map(({ i }) => probabilities[i]!)
        )
        expect(shuffled.confusion).toEqual(ours.confusion)
        expect(shuffled.rocAucPerClass).toEqual(ours.rocAucPerClass)
        expect(shuffled.rocCurves).toEqual(ours.rocCurves)
        close(shuffled.logLoss, ours.logLoss)
        close(shuffled.calibrationError, ours.calibrationError)
      })
    )
  })

  it('follow when classes swap their names', () => {
    fc.assert(
      fc.property(answers, ({ classes, labels, probabilities }) => {
        // Ties are won by the class that comes first, so only rows with one highest probability may be renamed.
        const clear = probabilities.flatMap((row, i) => (row.filter((p) => p === Math.max(...row)).length === 1 ? [i] : []))
        fc.pre(clear.length > 0)
        const ours = classificationMetrics(
          clear.map((i) => labels[i]!),
          clear.map((i) => probabilities[i]!)
        )
        const mirrored = classificationMetrics(
          clear.map((i) => classes - 1 - labels[i]!),
          clear.map((i) => [...probabilities[i]!].reverse())
        )
        expect(mirrored.confusion).toEqual([...ours.confusion].reverse().map((row) => [...row].reverse()))
        expect(mirrored.rocAucPerClass).toEqual([...ours.rocAucPerClass].reverse())
        for (const key of ['accuracy', 'matthews', 'calibrationError', 'logLoss', 'rocAuc'] as const) close(mirrored[key], ours[key])
        for (const key of ['precision', 'recall', 'f1'] as const) {
          close(mirrored.macro[key], ours.macro[key])
          close(mirrored.weighted[key], ours.weighted[key])
        }
      })
    )
  })

  it('agree with each other', () => {
    fc.assert(
      fc.property(answers, ({ labels, probabilities }) => {
        const ours = classificationMetrics(labels, probabilities)
        expect(ours.micro).toEqual({ precision: ours.accuracy, recall: ours.accuracy, f1: ours.accuracy })
        close(ours.weighted.recall, ours.accuracy)
        expect(ours.confusion.flat().reduce((sum, count) => sum + count, 0)).toBe(ours.examples)
        expect(Math.abs(ours.matthews)).toBeLessThanOrEqual(1 + 1e-12)
        expect(ours.calibrationError).toBeGreaterThanOrEqual(0)
        expect(ours.calibrationError).toBeLessThanOrEqual(1)
        for (const { precision, recall, f1 } of ours.perClass) {
          close(f1, precision + recall > 0 ? (2 * precision * recall) / (precision + recall) : 0)
        }
      })
    )
  })

  it('give the area that counts the pairs in the right order, ties as half', () => {
    fc.assert(
      fc.property(binary, ({ labels, scores }) => {
        const pairs = labels.flatMap((a, i) => (a ? labels.flatMap((b, j) => (b ? [] : [Math.sign(scores[i]! - scores[j]!)])) : []))
        const expected = pairs.length > 0 ? pairs.reduce((sum, sign) => sum + (sign + 1) / 2, 0) / pairs.length : null
        const ours = classificationMetrics(
          labels,
          scores.map((score) => [1 - score, score])
        )
        close(ours.rocAucPerClass[1]!, expected)
        close(ours.rocAucPerClass[0]!, expected)
        const turned = classificationMetrics(
          labels,
          scores.map((score) => [score, 1 - score])
        )
        close(turned.rocAuc, expected === null ? null : 1 - expected)
      })
    )
  })

  it('draw curves that rise from corner to corner, with one point for each distinct score', () => {
    fc.assert(
      fc.property(answers, ({ classes, labels, probabilities }) => {
        const { rocCurves, rocAucPerClass } = classificationMetrics(labels, probabilities)
        for (let c = 0; c < classes; c++) {
          const { falsePositiveRate, truePositiveRate } = rocCurves[c]!
          expect(falsePositiveRate.length).toBe(new Set(probabilities.map((row) => row[c])).size + 1)
          if (rocAucPerClass[c] === null) continue
          for (const rates of [falsePositiveRate, truePositiveRate]) {
            expect(rates).toEqual([...rates].sort((a, b) => a - b))
            expect([rates[0], rates.at(-1)]).toEqual([0, 1])
          }
        }
      })
    )
  })

  it('have no area where a class is absent or alone', () => {
    const alone = classificationMetrics(
      [1, 1],
      [
        [0.2, 0.8],
        [0.6, 0.4]
      ]
    )
    expect(alone.rocAucPerClass).toEqual([null, null])
    expect(alone.rocAuc).toBeNull()
    expect(alone.balancedAccuracy).toBe(0.5)
    expect(alone.matthews).toBe(0)
    const single = classificationMetrics([0, 0], [[1], [1]])
    expect(single).toMatchObject({ accuracy: 1, logLoss: 0, calibrationError: 0, rocAuc: null, macro: { f1: 1 } })
  })

  it('stay finite where a certain answer is wrong', () => {
    close(classificationMetrics([0], [[0, 1]]).logLoss, -Math.log(1e-15))
  })

  it('refuse what they cannot count', () => {
    expect(() => classificationMetrics([], [])).toThrow(UserError)
    expect(() => classificationMetrics([0], [[NaN, 1]])).toThrow(UserError)
    expect(() => classificationMetrics([2], [[0.5, 0.5]])).toThrow(/not one of 2 classes/)
    expect(() => classificationMetrics([0, 1], [[0.5, 0.5]])).toThrow(/2 labels, but 1 rows/)
    expect(() => classificationMetrics([0, 1], [[0.5, 0.5], [1]])).toThrow(UserError)
  })
})
