// What the base and the tuned models say to a typed text: label probabilities and a greedy continuation.
import { evaluate } from '../engine/evaluation/evaluate'
import type { Adaptation } from '../engine/methods/method'
import { positionsTaken } from '../engine/methods/positions'
import type { Decoder } from '../engine/model/decoder'
import { readContext } from '../engine/model/readContext'
import { generate } from '../engine/model/generate'
import { GREEDY } from '../engine/model/sampling'
import { Random } from '../engine/random'
import { encodeLabelWords, encodePrompt, type TextFrame } from '../tasks/encode'
import type { PromptedTask } from '../tasks/handwritten'
import { encodeContext } from '../tasks/promptedSplit'
import { scoringBatches } from '../tasks/scoring'
import type { Task } from '../tasks/task'
import { templateFields } from '../tasks/template'
import type { LoadedModel } from './models'
import type { Answer } from './protocol'

/** Tokens of the greedy continuation beside the probabilities: enough to see whether the model names a label. */
const CONTINUATION_TOKENS = 6

/** The template's first field holds what was typed; others stay empty. */
function fieldsOf(task: Task, text: string): Record<string, string> {
  return Object.fromEntries(templateFields(task.template).map((field, index) => [field, index === 0 ? text : '']))
}

function promptIds(model: LoadedModel, task: Task, text: string, answerLength: number, adaptation: Adaptation, frame: TextFrame): number[] {
  const { virtualTokens, prefix } = positionsTaken(adaptation)
  const maximumLength = model.decoder.config.maximumPositions - virtualTokens - prefix
  return encodePrompt(task, fieldsOf(task, text), answerLength, model.tokenizer, frame, { maximumLength }).promptIds
}

/** What the untouched model answers to a hand-written prompt, its solved examples in front. */
export async function answerPrompt(model: LoadedModel, { task, context }: PromptedTask, run: string, text: string): Promise<Answer> {
  const { config } = model.decoder
  const ids = encodeContext(context, model.tokenizer, config)
  if (ids.length === 0) return answerText(model, task, run, text, {})
  const read = readContext(model.decoder, Int32Array.from(ids))
  try {
    return await answerText(model, task, run, text, read.adaptation, { endTokens: config.endTokens })
  } finally {
    read.dispose()
  }
}

/** Probabilities of the labels, and what the model would write, for one text. */
export async function answerText(
  model: LoadedModel,
  task: Task,
  run: string,
  text: string,
  adaptation: Adaptation,
  frame: TextFrame = model.decoder.config
): Promise<Answer> {
  const { decoder } = model
  const words = encodeLabelWords(task, model.tokenizer)
  const answerLength = Math.max(CONTINUATION_TOKENS, ...words.map((word) => word.length))
  const prompt = promptIds(model, task, text, answerLength, adaptation, frame)
  const shares = words.length > 0 ? await labelShares(decoder, prompt, words, adaptation) : []
  const labels = task.kind === 'classification' ? task.labels : []
  const continuation = await continuePrompt(model, prompt, adaptation)
  return { run, probabilities: labels.map(({ name }, at) => ({ label: name, probability: shares[at]! })), continuation }
}

/** Probabilities of the labels among themselves. */
async function labelShares(decoder: Decoder, promptIds: number[], words: number[][], adaptation: Adaptation): Promise<number[]> {
  const batches = scoringBatches([{ promptIds }], words, { batchSize: words.length, padToken: decoder.config.padToken })
  // Which label is true is not known, and not needed for the probabilities.
  const { probabilities } = await evaluate(decoder, { texts: [''], labels: [0], batches, words }, adaptation)
  return probabilities[0]!
}

/** The most probable continuation of a prompt, as text. */
async function continuePrompt({ decoder, tokenizer }: LoadedModel, prompt: number[], adaptation: Adaptation): Promise<string> {
  const options = { ...GREEDY, maximumTokens: CONTINUATION_TOKENS, random: new Random(0), stopTokens: decoder.config.endTokens, adaptation }
  const ids: number[] = []
  for await (const id of generate(decoder, prompt, options)) ids.push(id)
  return tokenizer.decode(ids, { skipSpecialTokens: true })
}
