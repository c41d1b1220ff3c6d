// A tiny random llama, a word tokenizer and a task that it can learn: small enough that whole races run in a test.
import * as tf from '@tensorflow/tfjs'
import { createDecoder, type Decoder } from '../../src/engine/model/decoder'
import { readArchitecture } from '../../src/engine/model/architectures'
import { weightShapes } from '../../src/engine/model/layout'
import { Random } from '../../src/engine/random'
import type { Tokenizer } from '../../src/engine/tokenizer/tokenizer'
import type { RaceData } from '../../src/engine/training/data'
import type { Recipe } from '../../src/engine/training/recipe'
import { createRaceData } from '../../src/tasks/raceData'
import type { Example, TaskData } from '../../src/tasks/task'

const VOCABULARY = 100

const config = {
  model_type: 'llama',
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 8,
  vocab_size: VOCABULARY,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  hidden_act: 'silu',
  tie_word_embeddings: true,
  attention_bias: false,
  mlp_bias: false,
  bos_token_id: 0,
  eos_token_id: 0,
  pad_token_id: 1
}

/** The same random weights every time. The caller disposes it. */
export function tinyDecoder(): Decoder {
  const { config: parsed, layout } = readArchitecture(config)
  const random = new Random(7)
  const tensors = Object.entries(weightShapes(parsed, layout)).map(([name, shape]) => {
    const size = shape.reduce((product, length) => product * length, 1)
    const values = shape.length === 1 ? new Float32Array(size).fill(1) : Float32Array.from({ length: size }, () => 0.2 * random.normal())
    return [name, { shape, data: values }] as const
  })
  return createDecoder(config, Object.fromEntries(tensors))
}

const words = (text: string): string[] => text.match(/\n|\s?\S+/g) ?? []

/** A word is a token; its id is a hash, and 0 and 1 stay special. */
export const tinyTokenizer: Tokenizer = {
  encode: (text) => words(text).map((word) => 2 + ([...word].reduce((hash, letter) => (hash * 31 + letter.charCodeAt(0)) % 9973, 7) % 98)),
  decode: (ids) => ids.join(' '),
  tokenToId: () => undefined,
  idToToken: () => undefined,
  vocabularySize: VOCABULARY,
  beginToken: 0,
  endToken: 0,
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

export function tinyData(decoder: Decoder, recipes: readonly Recipe[]): RaceData {
  return createRaceData(tinyTask, tinyTokenizer, decoder.config, recipes, tinyPassages)
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
