// The calls that let several models write at once, and stop them.
import type { SamplingOptions } from '../engine/model/sampling'

export interface StreamRequest {
  /** The fields of the task's template; those that are missing are empty. */
  fields: Record<string, string>
  /** `base`, runs of the race, or runs of the library, as in `answer`. */
  runs: string[]
  sampling: SamplingOptions
  maximumTokens: number
  /** Every model draws from its own stream of this seed, so that the same request writes the same. */
  seed: number
}

/** How far one model has come. */
export interface StreamedText {
  run: string
  /** All of it so far; never half a character. */
  text: string
  tokens: number
  /** Tokens by second of computing, waiting for the other models and for a race left out; undefined before the first token. */
  tokensPerSecond: number | undefined
  /** Whether it has come to its end, or was stopped. */
  isOver: boolean
}

export interface StreamApi {
  /**
   * Continues the rendered prompt with each model at once, a token each in turn. `onTexts` gets all of them, several times a second. Resolves when all
   * have ended; an earlier stream is stopped first.
   */
  stream(request: StreamRequest, onTexts: (texts: StreamedText[]) => void): Promise<void>
  /** Ends the stream at once; what was written stays. */
  stopStream(): Promise<void>
}
