// Evaluation of a split of any kind of task: labels are scored, written answers are scored and written.
import type { Adaptation } from '../methods/method'
import type { Decoder } from '../model/decoder'
import { evaluate, type Evaluation, type Split } from './evaluate'
import { evaluateGeneration, type GenerationEvaluation, type GenerationSplit } from './evaluateGeneration'

export type TaskSplit = Split | GenerationSplit

export type LabelEvaluation = Evaluation & { kind: 'classification' }

export type TaskEvaluation = LabelEvaluation | GenerationEvaluation

export interface EvaluationOptions {
  adaptation?: Adaptation
  /** Whether the model also writes answers of its own; without, a generation task is scored by its loss alone, as during training. */
  writes: boolean
  between: () => Promise<void>
}

/** Evaluates a split by its kind. Throws a `NotFiniteError` where a score is not a finite number. */
export async function evaluateTask(
  decoder: Decoder,
  split: TaskSplit,
  { adaptation, writes, between }: EvaluationOptions
): Promise<TaskEvaluation> {
  if (split.kind === 'generation') return evaluateGeneration(decoder, split, adaptation, writes, between)
  return { ...(await evaluate(decoder, split, adaptation, between)), kind: 'classification' }
}
