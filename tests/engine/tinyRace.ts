// A tiny random llama with a word tokenizer and a task that it can learn: small enough that whole races run in a test.
import * as tf from '@tensorflow/tfjs'
import type { Split } from '../../src/engine/evaluation/evaluate'
import type { Decoder } from '../../src/engine/model/decoder'
import { Random } from '../../src/engine/random'
import type { Tokenizer } from '../../src/engine/tokenizer/tokenizer'
import type { RaceData } from '../../src/engine/training/data'
import type { Recipe } from '../../src/engine/training/recipe'
import { createRaceData } from '../../src/tasks/raceData'
import type { Example, TaskData } from '../../src/tasks/task'
import { tinyDecoder, tinyLlama } from './tinyModel'

const VOCABULARY = 100

/** The same random weights every time. The caller disposes it. */
export const raceDecoder = (layers = 2): Promise<Decoder> =>
  tinyDecoder({ ...tinyLlama, num_hidden_layers: layers, vocab_size: VOCABULARY, bos_token_id: 0 }, 7)

const words = (text: string): string[] => text.match(/\n|\s?\S+/g) ?? []

/** A word is a token; its id is a hash, and 0, 1 and 2 stay special. */
export const tinyTokenizer: Tokenizer = {
  encode: (text) => words(text).map((word) => 3 + ([...word].reduce((hash, letter) => (hash * 31 + letter.charCodeAt(0)) % 9973, 7) % 97)),
  decode: (ids) => ids.join(' '),
  tokenToId: () => undefined,
  idToToken: () => undefined,
  vocabularySize: VOCABULARY,
  beginToken: 0,
  endToken: 2,
  padToken: 1
}

const COLOURS = ['red', 'blue', 'green', 'grey', 'black', 'white']

/** Whether a row of colours holds more of the first three; the second label's word is two tokens. */
function examples(count: number, seed: number): Example[] {
  const random = new Random(seed)
  return Array.from({ length: count }, (_, i) => {
    const label = i % 2
    const colours = Array.from({ length: 3 + random.integer(16) }, () => COLOURS[3 * label + random.integer(3)]!)
    return { fields: { text: colours.join(' ') }, label: ['bright', 'dull'][label]! }
  })
}

export const tinyTask: TaskData = {
  task: {
    kind: 'classification',
    name: 'colours',
    title: 'Colours',
    domain: 'test',
    template: '{text}\nKind:',
    labels: [
      { name: 'bright', word: ' bright' },
      { name: 'dull', word: ' rather dull' }
    ],
    metrics: ['accuracy'],
    licence: 'CC0-1.0'
  },
  train: examples(40, 1),
  validation: examples(12, 2),
  test: examples(16, 3)
}

export const tinyPassages = ['the sea is blue and the sky is grey', 'a red fox ran past the white house', 'one two three four five six']

export function tinyData(decoder: Decoder, recipes: readonly Recipe[]): RaceData & Record<'validation' | 'test', Split> {
  const data = createRaceData(tinyTask, tinyTokenizer, decoder.config, recipes, tinyPassages)
  return data as typeof data & Record<'validation' | 'test', Split>
}

/** One method with a constant rate, for short runs. */
export function tinyRecipe(method: string, changes: Partial<Recipe> & { learningRate?: number } = {}): Recipe {
  const { learningRate = method === 'allWeights' ? 0.01 : 0.1, ...rest } = changes
  return {
    parts: [{ method, options: method === 'softPrompt' ? { virtualTokens: 4 } : {}, learningRate, weightDecay: 0 }],
    schedule: { kind: 'constant', warmupSteps: 0 },
    optimiser: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, clipNorm: 1 },
    batchSize: 4,
    maximumLength: 48,
    seed: 1,
    ...rest
  }
}

/** Values of all the base's tensors. */
export async function weightValues(decoder: Decoder): Promise<Record<string, Float32Array>> {
  const entries = await Promise.all(decoder.weightNames.map(async (name) => [name, (await decoder.weight(name).data()).slice()] as const))
  return Object.fromEntries(entries) as Record<string, Float32Array>
}

/** Tensors and bytes that are alive. */
export const alive = (): { tensors: number; bytes: number } => ({ tensors: tf.memory().numTensors, bytes: tf.memory().numBytes })
