// The calibration curve: how often answers were right, by how sure the model was of them.
import type { Prediction } from '../../../engine/training/records'

export interface ReliabilityBin {
  /** Mean top probability of the bin's answers. */
  stated: number
  /** Share of them that were right. */
  right: number
  /** Share of all answers that fall into the bin. */
  share: number
}

/** Ten equal bins of the top probability, as the expected calibration error uses them (Guo 2017); empty ones are left out. */
export function reliability(predictions: readonly Prediction[], bins = 10): ReliabilityBin[] {
  const sums = Array.from({ length: bins }, () => ({ stated: 0, right: 0, count: 0 }))
  for (const { label, predicted, probabilities } of predictions) {
    const top = probabilities[predicted] ?? 0
    // Bins are open below and closed above, as in the error's definition.
    const bin = sums[Math.min(bins - 1, Math.max(0, Math.ceil(top * bins) - 1))]
    if (!bin) continue
    bin.stated += top
    bin.right += Number(label === predicted)
    bin.count++
  }
  return sums
    .filter((bin) => bin.count > 0)
    .map((bin) => ({ stated: bin.stated / bin.count, right: bin.right / bin.count, share: bin.count / predictions.length }))
}
