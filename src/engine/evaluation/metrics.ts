// Classification metrics from labels and probabilities, as scikit-learn 1.x defines them (zero_division = 0).

export interface PrecisionRecallF1 {
  precision: number
  recall: number
  f1: number
}

export interface ClassificationMetrics {
  examples: number
  accuracy: number
  macro: PrecisionRecallF1
  micro: PrecisionRecallF1
  weighted: PrecisionRecallF1
  perClass: (PrecisionRecallF1 & { support: number })[]
  /** `confusion[true][predicted]` counts. */
  confusion: number[][]
  /** One against the rest, by class; null where a class is absent or is everything. */
  rocAucPerClass: (number | null)[]
  /** Mean of the defined ones; null where there is none. */
  rocAuc: number | null
  /** By class: one point for each distinct score, from (0, 0) to (1, 1). */
  rocCurves: { falsePositiveRate: number[]; truePositiveRate: number[] }[]
  /** Mean nats of the true class. */
  logLoss: number
  /** Expected calibration error over ten equal bins of the top probability (Guo 2017). */
  calibrationError: number
  matthews: number
  balancedAccuracy: number
}
