// What the command line prints of a run.
import type { GenerationMetrics, Output } from '../engine/evaluation/generationMetrics'
import type { ClassificationMetrics } from '../engine/evaluation/metrics'
import type { RaceSettings, Recipe } from '../engine/training/recipe'
import type { Cost, Curve, Forgetting, RunResult, StopReason } from '../engine/training/records'
import type { DeviceReport, ModelReport, TaskReport } from '../worker/protocol'

/** The test split's metrics under the names that are printed; the same shape for the validation split and the untrained model. */
export interface PrintedMetrics {
  examples: number
  accuracy: number
  balancedAccuracy: number
  precisionMacro: number
  recallMacro: number
  f1Macro: number
  f1Micro: number
  f1Weighted: number
  matthews: number
  rocAuc: number | null
  logLoss: number
  calibrationError: number
  labels: string[]
  confusion: number[][]
  perClass: { label: string; precision: number; recall: number; f1: number; support: number; rocAuc: number | null }[]
}

export interface HeadlessResult {
  metrics: PrintedMetrics | GenerationMetrics
  validation: PrintedMetrics | GenerationMetrics
  untrained: PrintedMetrics | GenerationMetrics
  /** Where answers are written: those to the first test examples. */
  outputs?: Output[]
  forgetting: Forgetting
  cost: Cost
  stopReason: StopReason
  /** The best step on the validation split, whose tensors were evaluated. */
  bestStep: number
  curve: Curve
  recipe: Recipe
  settings: RaceSettings
  model: Omit<ModelReport, 'card' | 'source'>
  task: { name: string; counts: TaskReport['counts']; notes: string[] }
  device: DeviceReport
}

/** A result, or the two sentences that say why there is none. */
export type HeadlessAnswer = { result: HeadlessResult } | { problem: { message: string; advice: string } }

function printed(metrics: ClassificationMetrics, labels: string[]): PrintedMetrics {
  return {
    examples: metrics.examples,
    accuracy: metrics.accuracy,
    balancedAccuracy: metrics.balancedAccuracy,
    precisionMacro: metrics.macro.precision,
    recallMacro: metrics.macro.recall,
    f1Macro: metrics.macro.f1,
    f1Micro: metrics.micro.f1,
    f1Weighted: metrics.weighted.f1,
    matthews: metrics.matthews,
    rocAuc: metrics.rocAuc,
    logLoss: metrics.logLoss,
    calibrationError: metrics.calibrationError,
    labels,
    confusion: metrics.confusion,
    perClass: metrics.perClass.map((row, index) => ({ label: labels[index] ?? '', ...row, rocAuc: metrics.rocAucPerClass[index] ?? null }))
  }
}

/** A result's numbers on the splits, under the names that are printed. */
export function scores(result: RunResult): Pick<HeadlessResult, 'metrics' | 'validation' | 'untrained' | 'outputs'> {
  if (result.kind === 'generation')
    return { metrics: result.test, validation: result.validation, untrained: result.untrained, outputs: result.outputs }
  const { labels, test, validation, untrained } = result
  return { metrics: printed(test, labels), validation: printed(validation, labels), untrained: printed(untrained, labels) }
}
