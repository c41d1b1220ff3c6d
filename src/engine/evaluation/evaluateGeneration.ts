// How well a model writes the answers of a split: the loss of the wanted ones, and its own, written greedily.
import { assertDeviceHealthy } from '../device/start'
import type { Adaptation } from '../methods/method'
import type { Batch } from '../model/batch'
import type { Decoder } from '../model/decoder'
import { generateGreedily } from '../model/generate'
import { nextTask } from '../nextTask'
import { generationMetrics, type GenerationMetrics, type Output } from './generationMetrics'
import { tokenLoss, type TokenLoss } from './tokenLoss'

/** Encoded examples of one split, ready to be scored and to be answered. */
export interface GenerationSplit {
  kind: 'generation'
  /** Rendered prompts, for people. */
  texts: readonly string[]
  /** Wanted answers, trimmed. */
  targets: readonly string[]
  /** Labels are all tokens of the wanted answers, end tokens included. */
  batches: readonly Batch[]
  /** Token ids of the prompts that the model answers itself: those of the first examples. */
  prompts: readonly (readonly number[])[]
  /** Indices of `prompts` that are answered together. */
  groups: readonly (readonly number[])[]
  /** An answer ends here at the latest. */
  maximumTokens: number
  /** An answer ends before one of these. */
  stopTokens: readonly number[]
  decode(ids: readonly number[]): string
}

export interface GenerationEvaluation extends TokenLoss {
  kind: 'generation'
  metrics: GenerationMetrics
  /** Of the first examples, in order; empty where only the loss was asked for. */
  outputs: Output[]
}

/**
 * Scores the wanted answers of all examples and, with `writes`, lets the model write those of the first ones. Waits for `between` between batches and
 * between tokens, by default for the next task of the event loop, so that commands arrive; what that throws ends the evaluation.
 * @throws NotFiniteError where the loss is not a finite number
 */
export async function evaluateGeneration(
  decoder: Decoder,
  split: GenerationSplit,
  adaptation: Adaptation = {},
  writes = true,
  between: () => Promise<void> = nextTask
): Promise<GenerationEvaluation> {
  const scored = await tokenLoss(decoder, split.batches, adaptation, between)
  const outputs: Output[] = []
  let { milliseconds } = scored
  for (const group of writes ? split.groups : []) {
    const started = performance.now()
    let waited = 0
    const answers = await generateGreedily(
      decoder,
      group.map((i) => split.prompts[i]!),
      {
        maximumTokens: split.maximumTokens,
        stopTokens: split.stopTokens,
        adaptation,
        between: async () => {
          const stopped = performance.now()
          await between()
          waited += performance.now() - stopped
        }
      }
    )
    assertDeviceHealthy()
    milliseconds += performance.now() - started - waited
    group.forEach((i, at) => {
      outputs[i] = { text: split.texts[i]!, target: split.targets[i]!, output: split.decode(answers[at]!).trim() }
    })
    await between()
  }
  const metrics = generationMetrics(scored.loss, split.texts.length, scored.tokens, outputs)
  return { ...scored, milliseconds, kind: 'generation', metrics, outputs }
}
