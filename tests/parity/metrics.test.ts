import { describe, expect, it } from 'vitest'
import { classificationMetrics, type PrecisionRecallF1 } from '../../src/engine/evaluation/metrics'
import { listFolders, readJson } from './golden'

type Lists<T> = { [K in keyof T]: number[] }

/** One case of `metrics/expected.json`, as scikit-learn computes it; null is what JSON makes of NaN. */
interface GoldenMetrics {
  kind: string
  classes: number
  labels: number[]
  probabilities: number[][]
  accuracy: number
  confusion: number[][]
  macro: PrecisionRecallF1
  micro: PrecisionRecallF1
  weighted: PrecisionRecallF1
  per_class: Lists<PrecisionRecallF1> & { support: number[] }
  auc_roc_one_vs_rest: (number | null)[]
  auc_roc_macro_of_defined: number | null
  roc_last_class: { fpr: (number | null)[]; tpr: (number | null)[] }
  log_loss: number
  matthews: number
  balanced_accuracy_defined_classes: number
  expected_calibration_error_10_bins: number
}

/** Every number of a nested value by its path, so that a difference names its place. NaN becomes null, as in JSON. */
function flatten(value: unknown, path = '', found: Record<string, number | null> = {}): Record<string, number | null> {
  if (typeof value === 'number' || value === null) found[path] = Number.isNaN(value) ? null : value
  else for (const [key, inner] of Object.entries(value as object)) flatten(inner, `${path}/${key}`, found)
  return found
}

const root = await listFolders()
const cases = root.own || root.folders.includes('metrics') ? await readJson<GoldenMetrics[]>('metrics/expected.json') : []

describe('classification metrics', () => {
  it('are held against every fixture that is there', () => {
    expect(cases.length).toBeGreaterThan(root.own ? 8 : -1)
  })

  for (const [index, golden] of cases.entries()) {
    it(`are those of scikit-learn: case ${index + 1}, ${golden.kind}, ${golden.classes} classes`, () => {
      const ours = classificationMetrics(golden.labels, golden.probabilities)
      // The fixture's curve is that of the last class, or of the first where no example has the last.
      const curve = ours.rocCurves[golden.labels.includes(golden.classes - 1) ? golden.classes - 1 : 0]
      const actual = flatten({
        accuracy: ours.accuracy,
        confusion: ours.confusion,
        macro: ours.macro,
        micro: ours.micro,
        weighted: ours.weighted,
        per_class: {
          precision: ours.perClass.map((row) => row.precision),
          recall: ours.perClass.map((row) => row.recall),
          f1: ours.perClass.map((row) => row.f1),
          support: ours.perClass.map((row) => row.support)
        },
        auc_roc_one_vs_rest: ours.rocAucPerClass,
        auc_roc_macro_of_defined: ours.rocAuc,
        roc_last_class: { fpr: curve?.falsePositiveRate, tpr: curve?.truePositiveRate },
        log_loss: ours.logLoss,
        matthews: ours.matthews,
        balanced_accuracy_defined_classes: ours.balancedAccuracy,
        expected_calibration_error_10_bins: ours.calibrationError
      })
      const { kind: _kind, classes: _classes, labels: _labels, probabilities: _probabilities, ...fields } = golden
      const expected = flatten(fields)
      expect(Object.keys(actual).sort()).toEqual(Object.keys(expected).sort())
      for (const [path, value] of Object.entries(expected)) {
        if (value === null) expect(actual[path], path).toBeNull()
        else expect(Math.abs((actual[path] as number) - value), `${path}: ${actual[path]} for ${value}`).toBeLessThan(1e-9)
      }
    })
  }
})
