// Reads a folder in the Hugging Face layout and checks all that can be known before a weight is read.
import { UserError } from '../errors'
import { missing, readJson, readText, type ModelFiles } from '../formats/modelFiles'
import { assertFloatDtype } from '../formats/safetensors'
import { INDEX, openWeights, readShardIndex, SINGLE } from '../formats/weightFiles'
import type { WeightSource } from '../formats/weightSource'
import { tokenizerOfBytePairFiles } from '../tokenizer/bytePairFiles'
import { createTokenizer, type Tokenizer } from '../tokenizer/tokenizer'
import { readArchitecture } from './architectures'
import type { DecoderConfig } from './config'
import { matchWeights } from './weights'

export interface ModelFolder {
  configJson: unknown
  config: DecoderConfig
  tokenizer: Tokenizer
  weights: WeightSource
  /** Numbers that the decoder will have. */
  parameters: number
  /** The model card (README.md), where there is one. */
  card?: string
}

const MAXIMUM_CARD_BYTES = 2_000_000
const MAXIMUM_MERGES_BYTES = 20_000_000

/** Taken along where they are there. */
const OPTIONAL = ['tokenizer_config.json', 'special_tokens_map.json', 'generation_config.json', 'README.md']

/** What people also have in such folders, and why it does not do. */
const REFUSED: readonly { pattern: RegExp; what: string }[] = [
  { pattern: /\.gguf$/i, what: 'GGUF, a format for llama.cpp whose weights are quantised' },
  { pattern: /\.(bin|pt|pth|ckpt|pkl|pickle)$/i, what: 'Python pickles, which are programs and are never opened here' },
  { pattern: /^adapter_model\.safetensors$/i, what: 'an adapter, which is no model without its base' },
  { pattern: /\.(h5|msgpack|onnx|tflite|npz)$/i, what: 'of another framework' }
]

/**
 * The files of a folder that make up its model, without the weights' shards, which the index names.
 * @throws UserError where a part is missing, or the weights are of a kind that cannot be opened
 */
export function modelFileNames(names: readonly string[]): string[] {
  const has = (name: string) => names.includes(name)
  const weights = [SINGLE, INDEX].find(has)
  const advice = 'Choose a model with config.json, tokenizer.json and model.safetensors; most repositories have a version with them.'
  if (!weights) {
    const refused = REFUSED.find(({ pattern }) => names.some((name) => pattern.test(name)))
    throw new UserError(refused ? `The weights are ${refused.what}.` : 'There is no model.safetensors among the files.', advice)
  }
  if (!has('config.json')) throw missing('config.json')
  const tokenizer = ['tokenizer.json', 'vocab.json'].find(has)
  if (!tokenizer || (tokenizer === 'vocab.json' && !has('merges.txt'))) {
    const other = names.some((name) => /\.model$/.test(name)) ? ', only a SentencePiece model, which is not read' : ''
    throw new UserError(`There is no tokenizer.json among the files${other}.`, advice)
  }
  return ['config.json', tokenizer, ...(tokenizer === 'vocab.json' ? ['merges.txt'] : []), ...OPTIONAL.filter(has), weights]
}

/** As `modelFileNames`, with the shards that the index names. */
export async function allModelFileNames(files: ModelFiles): Promise<string[]> {
  const names = modelFileNames(files.names)
  return names.includes(INDEX) ? [...names, ...(await readShardIndex(files)).shards] : names
}

/**
 * Opens a model's folder; of the weights only the headers are read.
 * @throws UserError naming the file, field or tensor that is missing, wrong or not supported
 */
export async function openModelFolder(files: ModelFiles): Promise<ModelFolder> {
  const names = modelFileNames(files.names)
  const configJson = await readJson(files, 'config.json')
  const { config, layout } = readArchitecture(configJson)
  const weights = await openWeights(files)
  assertNotQuantised(weights)
  const matched = [...matchWeights(config, layout, weights.tensors).values()]
  for (const name of matched) assertFloatDtype(name, weights.tensors.get(name)!)
  const tokenizer = await readTokenizer(files)
  if (tokenizer.vocabularySize > config.vocabularySize) {
    throw new UserError(
      `The tokenizer has ${tokenizer.vocabularySize} tokens, and the model knows ${config.vocabularySize}.`,
      'Use the tokenizer.json that belongs to this model.'
    )
  }
  const card = names.includes('README.md') ? await readText(files, 'README.md', MAXIMUM_CARD_BYTES) : undefined
  const parameters = matched.reduce((sum, name) => sum + weights.tensors.get(name)!.shape.reduce((product, size) => product * size, 1), 0)
  return { configJson, config, tokenizer, weights, parameters, card }
}

/** Masks and positions are whole numbers in honest checkpoints, and the engine makes them itself. */
const COUNTING = /(\.bias|masked_bias|position_ids)$/

function assertNotQuantised({ tensors }: WeightSource): void {
  for (const [name, { dtype }] of tensors) {
    if (/^(F32|F16|BF16|F64)$/.test(dtype) || COUNTING.test(name)) continue
    throw new UserError(
      `The weights are quantised: ${JSON.stringify(name.slice(0, 80))} is stored as ${dtype}.`,
      'Choose a version of the model in F32, F16 or BF16.'
    )
  }
}

async function readTokenizer(files: ModelFiles): Promise<Tokenizer> {
  const has = (name: string) => files.names.includes(name)
  const config = has('tokenizer_config.json') ? await readJson(files, 'tokenizer_config.json') : {}
  if (has('tokenizer.json')) return createTokenizer(await readJson(files, 'tokenizer.json'), config)
  const merges = await readText(files, 'merges.txt', MAXIMUM_MERGES_BYTES)
  return createTokenizer(tokenizerOfBytePairFiles(await readJson(files, 'vocab.json'), merges, config), config)
}
