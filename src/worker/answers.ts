// What the base and the tuned models say to a typed text: the prompt that is made of it, and the probabilities of the labels.
import { evaluate } from '../engine/evaluation/evaluate'
import type { Adaptation } from '../engine/methods/method'
import { positionsTaken } from '../engine/methods/positions'
import type { Decoder } from '../engine/model/decoder'
import { readContext } from '../engine/model/readContext'
import { encodeLabelWords, encodePrompt, type TextFrame } from '../tasks/encode'
import type { PromptedTask } from '../tasks/handwritten'
import { encodeContext } from '../tasks/promptedSplit'
import { scoringBatches } from '../tasks/scoring'
import type { Task } from '../tasks/task'
import { templateFields } from '../tasks/template'
import type { LoadedModel } from './models'
import type { Answer } from './protocol'

/**
 * Token ids of the task's template with these fields; those that are missing are empty.
 * @param answerLength tokens for which room is left, where there is as much
 */
export function promptIds(
  { decoder, tokenizer }: LoadedModel,
  task: Task,
  fields: Readonly<Record<string, string>>,
  answerLength: number,
  adaptation: Adaptation,
  frame: TextFrame = decoder.config
): number[] {
  const { virtualTokens, prefix } = positionsTaken(adaptation)
  const maximumLength = decoder.config.maximumPositions - virtualTokens - prefix
  const all = Object.fromEntries(templateFields(task.template).map((field) => [field, fields[field] ?? '']))
  // A long answer must not push its question out.
  const room = Math.min(answerLength, Math.floor(maximumLength / 2))
  return encodePrompt(task, all, room, tokenizer, frame, { maximumLength }).promptIds
}

/** What stands in front of a question that is asked with a prompt of a person's own: its solved examples, read once. */
export function readPrompt(
  { decoder, tokenizer }: LoadedModel,
  { context }: PromptedTask
): { adaptation: Adaptation; frame: TextFrame; dispose(): void } {
  const ids = encodeContext(context, tokenizer, decoder.config)
  if (ids.length === 0) return { adaptation: {}, frame: decoder.config, dispose: () => undefined }
  return { ...readContext(decoder, Int32Array.from(ids)), frame: { endTokens: decoder.config.endTokens } }
}

/** What the untouched model answers to a hand-written prompt, its solved examples in front. */
export async function answerPrompt(
  model: LoadedModel,
  prompted: PromptedTask,
  run: string,
  fields: Readonly<Record<string, string>>
): Promise<Answer> {
  const read = readPrompt(model, prompted)
  try {
    return await answerText(model, prompted.task, run, fields, read.adaptation, read.frame)
  } finally {
    read.dispose()
  }
}

/** Probabilities of the labels for one text; none where answers are written. */
export async function answerText(
  model: LoadedModel,
  task: Task,
  run: string,
  fields: Readonly<Record<string, string>>,
  adaptation: Adaptation,
  frame: TextFrame = model.decoder.config
): Promise<Answer> {
  if (task.kind === 'generation') return { run, probabilities: [] }
  const words = encodeLabelWords(task, model.tokenizer)
  const prompt = promptIds(model, task, fields, Math.max(...words.map((word) => word.length)), adaptation, frame)
  const shares = await labelShares(model.decoder, prompt, words, adaptation)
  return { run, probabilities: task.labels.map(({ name }, at) => ({ label: name, probability: shares[at]! })) }
}

/** Probabilities of the labels among themselves. */
async function labelShares(decoder: Decoder, promptIds: number[], words: number[][], adaptation: Adaptation): Promise<number[]> {
  const batches = scoringBatches([{ promptIds }], words, { batchSize: words.length, padToken: decoder.config.padToken })
  // Which label is true is not known, and not needed for the probabilities.
  const { probabilities } = await evaluate(decoder, { texts: [''], labels: [0], batches, words }, adaptation)
  return probabilities[0]!
}
