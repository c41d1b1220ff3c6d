// What a run reports while it is tuned and when it is done: plain data that crosses the worker's door and is stored.
import type { GenerationMetrics, Output } from '../evaluation/generationMetrics'
import type { ClassificationMetrics } from '../evaluation/metrics'

export interface StepRecord {
  /** 1 for the first update. */
  step: number
  /** Mean nats per label token before this update. */
  loss: number
  learningRates: number[]
  /** Global norm before clipping. */
  gradientNorm: number
  tokens: number
  /** Charged time of this step. */
  milliseconds: number
}

export interface ValidationRecord {
  step: number
  /** Charged training seconds at this point. */
  seconds: number
  /** Mean nats per label token. */
  loss: number
  /** Of the labels; absent where answers are written, whose measure is the perplexity: the exponential of the loss. */
  accuracy?: number
  f1Macro?: number
}

export interface Curve {
  steps: StepRecord[]
  validation: ValidationRecord[]
}

export interface Cost {
  /** Training alone; what is not charged is beside it. */
  seconds: number
  compileSeconds: number
  evaluationSeconds: number
  steps: number
  tokens: number
  trainableParameters: number
  /** Bytes of the trained tensors as a float32 safetensors file. */
  adapterBytes: number
  /** Highest GPU (or wasm) bytes while training, above the loaded base. */
  peakBytes: number
}

/** Nats per token on held-out general prose: what the model forgot. */
export interface Forgetting {
  before: number
  /** With the adapter on. */
  after: number
  /** With the adapter taken off again: `before`, where the base is frozen. */
  adapterOff: number
}

/** One test example and what was answered; read when a cell of the confusion matrix is clicked. */
export interface Prediction {
  text: string
  label: number
  predicted: number
  /** By label, summing to 1. */
  probabilities: number[]
}

export type StopReason = 'budget' | 'patience' | 'stopped' | 'diverged'

interface RunOutcome {
  stopReason: StopReason
  /** The step whose checkpoint was evaluated: the best on the validation split. */
  bestStep: number
  forgetting: Forgetting
  cost: Cost
}

export interface ClassificationResult extends RunOutcome {
  kind: 'classification'
  labels: string[]
  test: ClassificationMetrics
  validation: ClassificationMetrics
  /** The same prompt before any tuning, on the test split. */
  untrained: ClassificationMetrics
  predictions: Prediction[]
}

export interface GenerationResult extends RunOutcome {
  kind: 'generation'
  test: GenerationMetrics
  validation: GenerationMetrics
  untrained: GenerationMetrics
  /** What was written for the first test examples. */
  outputs: Output[]
}

export type RunResult = ClassificationResult | GenerationResult
