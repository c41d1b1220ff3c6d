// The calls of the prompt lab: a prompt as the model reads it, and how well it does on the validation split.
import type { HandwrittenPrompt } from '../tasks/handwritten'
import type { ModelSource, Progress, TaskSource } from './protocol'

export type { HandwrittenPrompt }

export interface PromptRequest {
  model: ModelSource
  /** Without a template or label words of its own: the prompt brings them. */
  task: TaskSource
  prompt: HandwrittenPrompt
}

/** How much of the model's context the prompts of the validation split take. */
export interface PromptRoom {
  /** Tokens of the solved examples in front of every prompt. */
  contextTokens: number
  /** Tokens of the longest prompt with its answer, the solved examples among them. */
  longest: number
  maximumPositions: number
  /** Prompts that lose text, because the model reads no more. */
  cut: number
  examples: number
}

/** A prompt before it is tried. */
export interface PromptPreview extends PromptRoom {
  /** The solved examples with their answers, as they stand in front of every question. */
  shown: { text: string; answer: string }[]
  /** The first validation example, rendered; `answer` is the word that would be right. */
  question: string
  answer: string
  /** Tokens of what is rendered here, without the answer. */
  tokens: number
}

/** What a prompt achieves on the validation split. */
export interface PromptScore extends PromptRoom {
  labels: string[]
  accuracy: number
  f1Macro: number
  /** Mean nats per label token of the true answers. */
  loss: number
  /** `confusion[true][predicted]` counts. */
  confusion: number[][]
  seconds: number
}

export interface LabApi {
  /** Renders and counts; asks nothing of the device. Throws a `UserError` where the prompt cannot be used. */
  previewPrompt(request: PromptRequest): Promise<PromptPreview>
  /** Evaluates on the validation split; undefined where a newer try or `cancelTry` came in between. */
  tryPrompt(request: PromptRequest, onProgress: (progress: Progress) => void): Promise<PromptScore | undefined>
  /** Ends the try that is under way, if there is one, before its next batch. */
  cancelTry(): Promise<void>
}
