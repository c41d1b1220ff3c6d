// A split as a hand-written prompt asks it: encoded behind its solved examples, with what of it fits the model.
import type { Split } from '../engine/evaluation/evaluate'
import { UserError } from '../engine/errors'
import { optionsOf, getMethod } from '../engine/methods/registry'
import type { DecoderConfig } from '../engine/model/config'
import type { Tokenizer } from '../engine/tokenizer/tokenizer'
import type { Recipe } from '../engine/training/recipe'
import { encodeExample, encodeLabelWords, type EncodedExample } from './encode'
import { promptOfOptions, promptedTask, type PromptedTask } from './handwritten'
import { EVALUATION_BATCH_SIZE, scoringBatches } from './scoring'
import type { Example, TaskData } from './task'
import { renderTemplate } from './template'

export interface PromptedSplit {
  split: Split
  encoded: EncodedExample[]
  /** Tokens of the solved examples in front of every prompt, the begin token among them. */
  contextTokens: number
  /** Tokens of the longest prompt with its answer, the context among them. */
  longest: number
  /** Examples that lost text, because the model reads no more. */
  cut: number
}

/** What a recipe's hand-written prompt makes of a task; undefined where it is the task's own. Throws a `UserError` where it cannot be used. */
export function ownPrompt(data: Pick<TaskData, 'task' | 'train'>, { parts }: Recipe): PromptedTask | undefined {
  const part = parts.find(({ method }) => method === 'handwrittenPrompt')
  const prompt = part && promptOfOptions(optionsOf(getMethod(part.method), part.options))
  return prompt && promptedTask(data, prompt)
}

/** Tokens of solved examples, the begin token among them; none where there are none. */
export function encodeContext(context: string, tokenizer: Tokenizer, { beginToken }: Pick<DecoderConfig, 'beginToken'>): number[] {
  return context === '' ? [] : [...(beginToken === undefined ? [] : [beginToken]), ...tokenizer.encode(context)]
}

/**
 * Encodes examples for evaluation. The solved examples are encoded apart, so that their tokens are the same in front of every prompt, and all of them
 * are always shown: where a prompt is too long for the model, it is its own text that is cut.
 * @throws UserError where template and solved examples alone do not fit
 */
export function promptedSplit(
  { task, context }: PromptedTask,
  examples: readonly Example[],
  tokenizer: Tokenizer,
  config: DecoderConfig
): PromptedSplit {
  const { maximumPositions, beginToken, endTokens, padToken } = config
  const contextIds = encodeContext(context, tokenizer, config)
  const words = encodeLabelWords(task, tokenizer)
  const longestWord = Math.max(...words.map((word) => word.length))
  if (contextIds.length + longestWord >= maximumPositions) {
    throw new UserError(
      `The solved examples take ${contextIds.length} tokens, and the model reads ${maximumPositions}.`,
      'Show fewer examples in context, or shorten the template.'
    )
  }
  const frame = { endTokens, ...(contextIds.length === 0 && { beginToken }) }
  const options = { maximumLength: maximumPositions - contextIds.length }
  const encoded = examples.map((example) => encodeExample(task, example, tokenizer, frame, options, words))
  return {
    split: {
      texts: examples.map(({ fields }) => renderTemplate(task.template, fields)),
      labels: encoded.map(({ label }) => label as number),
      batches: scoringBatches(encoded, words, { batchSize: EVALUATION_BATCH_SIZE, padToken }),
      words,
      ...(contextIds.length > 0 && { context: Int32Array.from(contextIds) })
    },
    encoded,
    contextTokens: contextIds.length,
    longest: contextIds.length + longestWord + Math.max(0, ...encoded.map(({ promptIds }) => promptIds.length)),
    cut: encoded.filter(({ cut }) => cut).length
  }
}
