// Loads a base model: its files, its tokenizer, its weights on the device; at most one is held at a time.
import type { DeviceReport } from '../engine/device/report'
import { UserError } from '../engine/errors'
import { weightsOfBytes } from '../engine/formats/weightSource'
import { createDecoder } from '../engine/model/createDecoder'
import type { Decoder } from '../engine/model/decoder'
import { createTokenizer, type Tokenizer } from '../engine/tokenizer/tokenizer'
import type { ModelReport, ModelSource, Progress } from './protocol'
import { fetchBytes, fetchJson, fetchOptionalText } from './siteFiles'

export interface LoadedModel {
  report: ModelReport
  decoder: Decoder
  tokenizer: Tokenizer
}

const FLOAT32_BYTES = 4

/** The model at a folder of the site, in the Hugging Face layout. Throws a `UserError` that names the file or tensor that is wrong. */
export async function loadModel(
  source: ModelSource,
  siteRoot: string,
  device: DeviceReport,
  onProgress: (progress: Progress) => void
): Promise<LoadedModel> {
  const at = (file: string): string => new URL(`${source.path}/${file}`, siteRoot).href
  const [configJson, tokenizerJson, tokenizerConfig, card] = await Promise.all([
    fetchJson(at('config.json')),
    fetchJson(at('tokenizer.json')),
    fetchOptionalText(at('tokenizer_config.json')),
    fetchOptionalText(at('README.md'))
  ])
  const bytes = await fetchBytes(at('model.safetensors'), 'Downloading weights', onProgress)
  const tokenizer = createTokenizer(tokenizerJson, tokenizerConfig ? (JSON.parse(tokenizerConfig) as unknown) : {})
  const decoder = await createDecoder(configJson, await weightsOfBytes(bytes), {
    device,
    onTensor: (loaded, total) => onProgress({ stage: 'Unpacking weights', loaded, total, unit: 'items' })
  })
  const parameters = decoder.weightNames.reduce((sum, name) => sum + decoder.weight(name).size, 0)
  const { config } = decoder
  if (tokenizer.vocabularySize > config.vocabularySize) {
    decoder.dispose()
    throw new UserError(
      `The tokenizer of ${source.path} has ${tokenizer.vocabularySize} tokens, and the model knows ${config.vocabularySize}.`,
      'Use the tokenizer.json that belongs to this model.'
    )
  }
  return {
    decoder,
    tokenizer,
    report: {
      id: source.path.split('/').at(-1) ?? source.path,
      source,
      parameters,
      layers: config.layers,
      hiddenSize: config.hiddenSize,
      vocabularySize: config.vocabularySize,
      maximumPositions: config.maximumPositions,
      architecture: config.architecture,
      deviceBytes: parameters * FLOAT32_BYTES,
      card
    }
  }
}
