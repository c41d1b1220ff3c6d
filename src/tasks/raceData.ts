// A task's examples encoded for a race: one encoding, one set of batches for all of its runs.
import { UserError } from '../engine/errors'
import type { Split } from '../engine/evaluation/evaluate'
import type { TaskSplit } from '../engine/evaluation/taskEvaluation'
import { passagesPerBatch } from '../engine/evaluation/forgetting'
import { getMethod, optionsOf } from '../engine/methods/registry'
import type { Batch } from '../engine/model/batch'
import type { DecoderConfig } from '../engine/model/config'
import type { Tokenizer } from '../engine/tokenizer/tokenizer'
import type { RaceData } from '../engine/training/data'
import type { Recipe } from '../engine/training/recipe'
import { BatchOrder, createBatch, lossBatches } from './batches'
import { encodeExamples, encodeLabelWords, encodeText, type EncodedExample } from './encode'
import { ownPrompt, promptedSplit } from './promptedSplit'
import { generationSplit } from './generationSplit'
import { EVALUATION_BATCH_SIZE, scoringBatches } from './scoring'
import type { Example, Task, TaskData } from './task'
import { renderTemplate } from './template'

/**
 * Tokens that prompt and answer may take together, so that every run of the race sees the same text: the smallest limit among the recipes, and
 * room for the most virtual tokens.
 */
export function raceLength(recipes: readonly Recipe[], config: DecoderConfig): number {
  const positions = recipes.map(({ parts }) =>
    parts.reduce((sum, { method: id, options }) => {
      const method = getMethod(id)
      return sum + (method.positions?.(optionsOf(method, options)) ?? 0)
    }, 0)
  )
  return Math.min(...recipes.map(({ maximumLength }) => maximumLength), config.maximumPositions - Math.max(0, ...positions))
}

/**
 * Encodes all splits of a task.
 * @param generalTexts held-out prose on which forgetting is measured
 * @returns also how many examples had to be cut to fit
 * @throws UserError where a split is empty, or the template does not fit
 */
export function createRaceData(
  { task, train, validation, test }: TaskData,
  tokenizer: Tokenizer,
  config: DecoderConfig,
  recipes: readonly Recipe[],
  generalTexts: readonly string[]
): RaceData & { cut: number } {
  for (const [name, examples] of Object.entries({ training: train, validation, test })) {
    if (examples.length === 0) throw new UserError(`"${task.title}" has no ${name} examples.`, 'Add some, or choose another task.')
  }
  const { padToken } = config
  const options = { maximumLength: raceLength(recipes, config) }
  const labels = task.kind === 'classification' ? task.labels : []
  const words = encodeLabelWords(task, tokenizer)
  let cut = 0
  const encode = (examples: readonly Example[]): EncodedExample[] => {
    const result = encodeExamples(task, examples, tokenizer, config, options)
    cut += result.cut
    return result.encoded
  }
  const rows = { train: encode(train), validation: encode(validation), test: encode(test) }
  const longestAnswer = Math.max(...Object.values(rows).flatMap((split) => split.map(({ answerIds }) => answerIds.length)))
  const labelSplit = (examples: readonly Example[], encoded: readonly EncodedExample[]): Split => ({
    texts: examples.map((example) => renderTemplate(task.template, example.fields)),
    labels: encoded.map(({ label }) => label as number),
    batches: scoringBatches(encoded, words, { batchSize: EVALUATION_BATCH_SIZE, padToken }),
    words
  })
  const splitOf = (examples: readonly Example[], encoded: readonly EncodedExample[]): TaskSplit =>
    task.kind === 'generation' ? generationSplit(task, examples, encoded, longestAnswer, tokenizer, config) : labelSplit(examples, encoded)
  let training: Split | undefined
  const general = generalTexts.map((text) => encodeText(text, tokenizer, config, options))
  const longest = Math.max(1, ...general.map(({ answerIds }) => answerIds.length))
  return {
    labels: labels.map(({ name }) => name),
    labelWords: labels.map(({ word }) => word),
    trainingBatches: (batchSize, seedOrState) => {
      const order = new BatchOrder(rows.train.length, batchSize, seedOrState)
      return {
        next: () => trainingBatch(task, rows.train, order.next(), padToken),
        get state() {
          return order.state
        }
      }
    },
    training: () => {
      if (task.kind === 'generation') throw new UserError(`"${task.title}" has no labels to choose among.`, 'Choose a task with labels.')
      return (training ??= labelSplit(train, rows.train))
    },
    validation: splitOf(validation, rows.validation),
    test: splitOf(test, rows.test),
    ownPrompt: (recipe) => {
      const prompted = ownPrompt({ task, train }, recipe)
      if (!prompted) return undefined
      const encodeSplit = (examples: readonly Example[]): Split => promptedSplit(prompted, examples, tokenizer, config).split
      return { validation: encodeSplit(validation), test: encodeSplit(test) }
    },
    general: lossBatches(
      general.filter(({ answerIds }) => answerIds.length > 0),
      { batchSize: passagesPerBatch(config.vocabularySize, longest), padToken }
    ),
    encode: (text) => tokenizer.encode(text),
    cut
  }
}

function trainingBatch({ kind }: Task, rows: readonly EncodedExample[], examples: readonly number[], padToken: number): Batch {
  const chosen = examples.map((example) => rows[example] as EncodedExample)
  const batch = createBatch(chosen, padToken)
  if (kind === 'generation') return batch
  return {
    ...batch,
    classes: {
      rows: Int32Array.from(chosen, ({ promptIds }, row) => row * batch.time + promptIds.length - 1),
      labels: Int32Array.from(chosen, ({ label }) => label as number),
      examples: Int32Array.from(examples)
    }
  }
}
