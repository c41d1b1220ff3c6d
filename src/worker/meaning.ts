// Works out what the virtual tokens of stored runs mean: nearest words, path, attention, similarity.
import * as tf from '@tensorflow/tfjs'
import { UserError } from '../engine/errors'
import { attentionPaid } from '../engine/meaning/attentionPaid'
import { countOf, lengthsOf, nearestTokens, type Nearest, type Rows } from '../engine/meaning/nearest'
import { principalPlane } from '../engine/meaning/projection'
import { similarityMatrix } from '../engine/meaning/similarity'
import { snapshotsOf, type Snapshot } from '../engine/meaning/trajectory'
import { readVirtualTokens } from '../engine/meaning/virtualTokens'
import type { Adaptation } from '../engine/methods/method'
import { tunedAdaptation } from '../engine/methods/tuned'
import { loadCheckpoint } from '../storage/checkpoints'
import { getRace } from '../storage/races'
import { getRun } from '../storage/runs'
import { createBatch } from '../tasks/batches'
import { encodePrompt } from '../tasks/encode'
import type { TaskData } from '../tasks/task'
import type { DeviceQueue } from './deviceQueue'
import type { MeaningApi, NearToken, PromptMeaning, PromptPath } from './meaningCalls'
import type { LoadedModel } from './models'
import { openRun, type Loaders } from './openedRuns'

const NEAREST = 5

/** Texts over which attention is averaged: enough for a mean that does not change much, few enough for one batch. */
const TEXTS = 16

/** Words in the picture of the path: around the first and the last place of each virtual token, as far as they can be read. */
const WORDS_PER_TOKEN = 2
const MAXIMUM_WORDS = 60

export class PromptMeanings implements MeaningApi {
  readonly #loaders: Loaders
  readonly #queue: DeviceQueue

  constructor(loaders: Loaders, queue: DeviceQueue) {
    this.#loaders = loaders
    this.#queue = queue
  }

  async promptMeaning(runId: string): Promise<PromptMeaning> {
    const { recipe, tensors } = await openRun(runId, this.#loaders)
    const run = await getRun(runId)
    const race = await getRace(run?.raceId ?? '')
    if (!race) throw new UserError('This run is no longer in the library.', 'It was deleted, perhaps in another tab.')
    const best = await loadCheckpoint(runId, 'best')
    // A damaged last checkpoint costs the path alone.
    const last = await loadCheckpoint(runId, 'last').catch(() => undefined)
    const model = await this.#loaders.useModel(race.request.model)
    const { data } = await this.#loaders.useTask(race.request.task)
    return this.#queue.run(async () => {
      const tuned = tunedAdaptation(recipe.parts, tensors, model.decoder.config)
      try {
        const meaning = await meaningOf(model, data, tuned.adaptation, last ? snapshotsOf(last.tensors) : [])
        return { bestStep: best?.state.best.step ?? 0, ...meaning }
      } finally {
        tuned.dispose()
      }
    })
  }

  async promptSimilarities(runIds: string[]): Promise<number[][]> {
    const prompts: Rows[] = []
    for (const runId of runIds) {
      const run = await getRun(runId)
      const race = run && (await getRace(run.raceId))
      const checkpoint = await loadCheckpoint(runId, 'best')
      if (!run || !race || !checkpoint) throw new UserError('One of these runs is no longer in the library.', 'Open the page again.')
      const { decoder } = await this.#loaders.useModel(race.request.model)
      const tokens = await this.#queue.run(async () => {
        const tuned = tunedAdaptation(run.request.recipe.parts, checkpoint.tensors, decoder.config)
        try {
          return await readVirtualTokens(() => tuned.adaptation)
        } finally {
          tuned.dispose()
        }
      })
      if (!tokens) throw withoutVirtualTokens(run.name)
      prompts.push({ data: tokens.data, width: decoder.config.hiddenSize })
    }
    return similarityMatrix(prompts)
  }
}

const withoutVirtualTokens = (name: string): UserError =>
  new UserError(`${name} has no virtual tokens.`, 'Choose a run that tunes a soft prompt, alone or together with other methods.')

/** What the virtual tokens of an adaptation mean to its model. Throws a `UserError` where there are none. */
export async function meaningOf(
  model: LoadedModel,
  data: TaskData,
  adaptation: Adaptation,
  snapshots: readonly Snapshot[]
): Promise<Omit<PromptMeaning, 'bestStep'>> {
  const width = model.decoder.config.hiddenSize
  const best = await readVirtualTokens(() => adaptation)
  if (!best) throw withoutVirtualTokens('This run')
  const tokens: Rows = { data: best.data, width }
  const vocabulary = await readVocabulary(model, adaptation)
  const lengths = lengthsOf(tokens)
  const vocabularyLengths = lengthsOf(vocabulary)
  const named = (nearest: Nearest['cosine']): NearToken[] => nearest.map(({ id, value }) => ({ id, value, text: textOf(model, id) }))
  const path = snapshots.length > 1 ? pathOf(model, vocabulary, snapshots) : undefined
  return {
    tokens: nearestTokens(tokens, vocabulary, NEAREST).map(({ cosine, dot }, i) => ({
      cosine: named(cosine),
      dot: named(dot),
      length: lengths[i]!
    })),
    vocabularyLength: vocabularyLengths.reduce((sum, length) => sum + length, 0) / vocabularyLengths.length,
    attention: await attentionOf(model, data, adaptation, countOf(tokens)),
    ...(path && { path })
  }
}

/** The embeddings that the model reads, trained ones where the adaptation has some; rows behind the tokenizer's last token are no words. */
async function readVocabulary({ decoder, tokenizer }: LoadedModel, adaptation: Adaptation): Promise<Rows> {
  const { embedding } = decoder.layout
  const { hiddenSize: width } = decoder.config
  const table = tf.tidy(() => tf.mul(adaptation.weight?.(embedding) ?? decoder.weight(embedding), 1))
  try {
    const data = (await table.data()) as Float32Array
    return { data: data.subarray(0, tokenizer.vocabularySize * width), width }
  } finally {
    table.dispose()
  }
}

/** A token as text; one that is only part of a letter by its name. */
function textOf({ tokenizer }: LoadedModel, id: number): string {
  const text = tokenizer.decode([id])
  return text === '' || text.includes('\ufffd') ? (tokenizer.idToToken(id) ?? `token ${id}`) : text
}

function pathOf(model: LoadedModel, vocabulary: Rows, snapshots: readonly Snapshot[]): PromptPath {
  const { width } = vocabulary
  const [first, last] = [snapshots[0]!, snapshots.at(-1)!]
  const near = [last, first].flatMap(({ data }) =>
    nearestTokens({ data, width }, vocabulary, WORDS_PER_TOKEN).flatMap(({ cosine }) => cosine)
  )
  const words = [...new Set(near.map(({ id }) => id))].slice(0, MAXIMUM_WORDS)
  const rows = [...snapshots.map(({ data }) => data), ...words.map((id) => vocabulary.data.subarray(id * width, (id + 1) * width))]
  const data = new Float32Array(rows.reduce((sum, row) => sum + row.length, 0))
  let at = 0
  for (const row of rows) {
    data.set(row, at)
    at += row.length
  }
  const { points, explained } = principalPlane({ data, width })
  const count = first.shape[0]!
  return {
    steps: snapshots.map(({ step }) => step),
    places: snapshots.map((_, i) => points.slice(i * count, (i + 1) * count)),
    words: words.map((id, i) => ({ text: textOf(model, id), place: points[snapshots.length * count + i]! })),
    explained
  }
}

async function attentionOf(
  { decoder, tokenizer }: LoadedModel,
  { task, validation }: TaskData,
  adaptation: Adaptation,
  virtualTokens: number
): Promise<PromptMeaning['attention']> {
  const { config } = decoder
  const prefix = tf.tidy(() => adaptation.keyValues?.(0)?.key.shape[0] ?? 0)
  const maximumLength = config.maximumPositions - virtualTokens - prefix
  const rows = validation
    .slice(0, TEXTS)
    .map(({ fields }) => ({ ...encodePrompt(task, fields, 1, tokenizer, config, { maximumLength }), answerIds: [config.padToken] }))
  return { ...(await attentionPaid(decoder, createBatch(rows, config.padToken), adaptation)), texts: rows.length }
}
