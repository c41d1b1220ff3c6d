// Metrics of a task whose answers are written: how well the wanted answers are predicted, and how near the written ones come.
import { exactMatch, rougeL, tokenF1 } from './textMetrics'

/** One example that the model has answered in its own words. */
export interface Output {
  /** The rendered prompt. */
  text: string
  target: string
  /** The greedy continuation up to the end token, trimmed. */
  output: string
}

export interface GenerationMetrics {
  /** Examples whose wanted answers were scored. */
  examples: number
  /** Tokens of those answers, end tokens included. */
  tokens: number
  /** The exponential of the mean nats per token of the wanted answers: among how many tokens the model seems to be torn. */
  perplexity: number
  /** How many of the examples, the first ones, the model also answered itself; the means below are of these, and null where there are none. */
  generated: number
  exactMatch: number | null
  tokenF1: number | null
  rougeL: number | null
}

/** @param loss mean nats per target token over all `examples` */
export function generationMetrics(loss: number, examples: number, tokens: number, outputs: readonly Output[]): GenerationMetrics {
  const mean = (score: (output: string, target: string) => number): number | null =>
    outputs.length === 0 ? null : outputs.reduce((sum, { output, target }) => sum + score(output, target), 0) / outputs.length
  return {
    examples,
    tokens,
    perplexity: Math.exp(loss),
    generated: outputs.length,
    exactMatch: mean(exactMatch),
    tokenF1: mean(tokenF1),
    rougeL: mean(rougeL)
  }
}
