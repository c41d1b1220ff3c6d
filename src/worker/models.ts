// Loads a base model: its files, its tokenizer, its weights on the device; at most one is held at a time.
import type { DeviceReport } from '../engine/device/report'
import { createDecoder } from '../engine/model/createDecoder'
import type { Decoder } from '../engine/model/decoder'
import { openModelFolder } from '../engine/model/modelFolder'
import type { Tokenizer } from '../engine/tokenizer/tokenizer'
import { sourceName } from '../storage/library'
import type { ModelReport, ModelSource, Progress } from './protocol'
import { openModelFiles } from './sources/open'

export interface LoadedModel {
  report: ModelReport
  decoder: Decoder
  tokenizer: Tokenizer
}

/** The model at a folder of the site or in this browser's storage. Throws a `UserError` that names the file, field or tensor that is wrong. */
export async function loadModel(
  source: ModelSource,
  siteRoot: string,
  device: DeviceReport,
  onProgress: (progress: Progress) => void
): Promise<LoadedModel> {
  const folder = await openModelFolder(await openModelFiles(source, siteRoot, onProgress))
  const { config, tokenizer, parameters, card } = folder
  const decoder = await createDecoder(folder.configJson, folder.weights, {
    device,
    onTensor: (loaded, total) => onProgress({ stage: 'Unpacking weights', loaded, total, unit: 'items' })
  })
  return {
    decoder,
    tokenizer,
    report: {
      id: sourceName(source),
      source,
      parameters,
      layers: config.layers,
      hiddenSize: config.hiddenSize,
      vocabularySize: config.vocabularySize,
      maximumPositions: config.maximumPositions,
      architecture: config.architecture,
      deviceBytes: decoder.bytes,
      card
    }
  }
}
