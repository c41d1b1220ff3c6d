// Examples as token ids: what the model reads, and what it should answer.
import { UserError } from '../engine/errors'
import type { DecoderConfig } from '../engine/model/config'
import type { Tokenizer } from '../engine/tokenizer/tokenizer'
import type { Example, Task } from './task'
import { labelIndex, renderAnswer, renderTemplate, templateFields } from './template'

/** The special tokens that frame a text. */
export type TextFrame = Pick<DecoderConfig, 'beginToken' | 'endTokens'>

export interface EncodeOptions {
  /** Tokens of prompt and answer together, the begin token among them, virtual tokens not. */
  maximumLength: number
}

export interface EncodedPrompt {
  /** At least one token; the first is the begin token, where the model has one. */
  promptIds: number[]
  /** True where text had to be cut. */
  cut: boolean
}

export interface EncodedExample extends EncodedPrompt {
  /** At least one token. */
  answerIds: number[]
  /** Place of its label among the task's; absent for generation. */
  label?: number
}

/**
 * Token ids of a text that goes on from another one. It is encoded apart from the prompt: encoded together, a token might straddle both, and
 * the prompt would then be other tokens for each answer, and for a text without an answer. A line break stands in for the prompt, so that
 * tokenizers which put a space in front of every text (SentencePiece) do not do so here.
 */
export function encodeContinuation(text: string, tokenizer: Tokenizer): number[] {
  const anchor = tokenizer.encode('\n')
  const anchored = tokenizer.encode('\n' + text)
  return anchor.every((id, i) => anchored[i] === id) ? anchored.slice(anchor.length) : tokenizer.encode(text)
}

/**
 * By label, the token ids of its word.
 * @throws UserError where a word has no tokens
 */
export function encodeLabelWords(task: Task, tokenizer: Tokenizer): number[][] {
  if (task.kind !== 'classification') return []
  return task.labels.map(({ name, word }) => {
    const ids = encodeContinuation(word, tokenizer)
    if (ids.length === 0) throw new UserError(`The word of label "${name}" is empty for this model.`, 'Give the label another word.')
    return ids
  })
}

/**
 * The prompt of an example that need not have an answer. Where it is longer than `maximumLength` less `answerLength`, the longest field loses
 * text from its left, then the next; the template and the answer never do.
 * @throws UserError where the template alone is too long, or asks for a field that is not there
 */
export function encodePrompt(
  task: Task,
  fields: Readonly<Record<string, string>>,
  answerLength: number,
  tokenizer: Tokenizer,
  frame: TextFrame,
  { maximumLength }: EncodeOptions
): EncodedPrompt {
  const encode = (values: Readonly<Record<string, string>>) => [
    ...(frame.beginToken === undefined ? [] : [frame.beginToken]),
    ...tokenizer.encode(renderTemplate(task.template, values))
  ]
  const limit = maximumLength - answerLength
  let promptIds = encode(fields)
  if (promptIds.length === 0) throw new UserError('An example has an empty prompt.', 'Write some text into the template.')
  if (promptIds.length <= limit) return { promptIds, cut: false }

  let kept = fields
  const byLength = templateFields(task.template).sort(
    (a, b) => tokenizer.encode(fields[b] as string).length - tokenizer.encode(fields[a] as string).length
  )
  for (const name of byLength) {
    kept = { ...kept, [name]: longestTail(fields[name] as string, (tail) => encode({ ...kept, [name]: tail }).length <= limit) }
    promptIds = encode(kept)
    if (promptIds.length <= limit) return { promptIds, cut: true }
  }
  throw new UserError(
    `The template and the answer alone take ${promptIds.length + answerLength} tokens, and ${maximumLength} are allowed.`,
    'Shorten the template or the label words, or allow longer prompts.'
  )
}

/**
 * An example as the model is trained on it. Classification keeps room for the task's longest label word, so that a prompt is the same
 * whatever its label. A generation target ends with the end token, so that the tuned model learns to stop.
 * @param words by label, its word's token ids; given for many examples, they save more than half of the time (eight labels, 640 examples: 0.28 s for 0.75 s)
 * @throws UserError as `encodePrompt` does, and where the label or the answer is missing
 */
export function encodeExample(
  task: Task,
  example: Example,
  tokenizer: Tokenizer,
  frame: TextFrame,
  options: EncodeOptions,
  words = encodeLabelWords(task, tokenizer)
): EncodedExample {
  if (task.kind === 'classification') {
    const label = labelIndex(task, example)
    const longest = Math.max(...words.map((word) => word.length))
    return { ...encodePrompt(task, example.fields, longest, tokenizer, frame, options), answerIds: words[label] as number[], label }
  }
  const answerIds = [...encodeContinuation(renderAnswer(task, example), tokenizer), ...frame.endTokens.slice(0, 1)]
  if (answerIds.length === 0) throw new UserError('An example has an empty answer.', 'Leave out rows without an answer.')
  return { ...encodePrompt(task, example.fields, answerIds.length, tokenizer, frame, options), answerIds }
}

/** All examples in order, and how many of them were cut. */
export function encodeExamples(
  task: Task,
  examples: readonly Example[],
  tokenizer: Tokenizer,
  frame: TextFrame,
  options: EncodeOptions
): { encoded: EncodedExample[]; cut: number } {
  const words = encodeLabelWords(task, tokenizer)
  const encoded = examples.map((example) => encodeExample(task, example, tokenizer, frame, options, words))
  return { encoded, cut: encoded.filter((example) => example.cut).length }
}

/**
 * A plain text whose every token is to be predicted, from its begin token on (or, where the model has none, from its first token on).
 * What is longer than `maximumLength` loses its end.
 */
export function encodeText(text: string, tokenizer: Tokenizer, frame: TextFrame, { maximumLength }: EncodeOptions): EncodedExample {
  const ids = [...(frame.beginToken === undefined ? [] : [frame.beginToken]), ...tokenizer.encode(text)]
  return { promptIds: ids.slice(0, 1), answerIds: ids.slice(1, maximumLength), cut: ids.length > maximumLength }
}

/** The longest end of a text that fits, from a word's start where that costs less than half of it; empty where none fits. */
function longestTail(text: string, fits: (tail: string) => boolean): string {
  const letters = [...text]
  const tailFrom = (start: number) => letters.slice(start).join('').trimStart()
  let low = 0
  let high = letters.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (fits(tailFrom(middle))) high = middle
    else low = middle + 1
  }
  const tail = tailFrom(low)
  const fromWord = low === 0 || /\s/.test(letters[low - 1] as string) ? tail : tail.replace(/^\S*\s+/, '')
  return fromWord.length * 2 > tail.length && fits(fromWord) ? fromWord : tail
}
