// Loads a base model: its files, its tokenizer, its weights on the device; at most one is held at a time.
import type { DeviceReport } from '../engine/device/report'
import { UserError } from '../engine/errors'
import { canPack } from '../engine/kernels/packed'
import { readArchitecture } from '../engine/model/architectures'
import { createDecoder } from '../engine/model/createDecoder'
import type { Decoder } from '../engine/model/decoder'
import { openModelFolder } from '../engine/model/modelFolder'
import { matchWeights } from '../engine/model/weights'
import type { Tokenizer } from '../engine/tokenizer/tokenizer'
import type { BaseShape } from '../engine/methods/method'
import type { MemoryLimits } from '../engine/training/fit'
import { weightBytes } from '../engine/training/memoryEstimate'
import type { HeldBase } from '../engine/training/stepMemory'
import { sourceName } from '../storage/library'
import { baseProblem } from './fit'
import type { ModelReport, ModelSource, Progress } from './protocol'
import { openModelFiles } from './sources/open'

export interface LoadedModel {
  report: ModelReport
  decoder: Decoder
  tokenizer: Tokenizer
  base: HeldBase
}

/** All of a model but its weights. */
export interface PlannedModel extends BaseShape {
  tokenizer: Tokenizer
  /** What its weights would take on the device. */
  base: HeldBase
}

/** Reads and checks a model's files, of the weights their headers alone. Throws as `loadModel`. */
export async function planModel(
  source: ModelSource,
  siteRoot: string,
  onProgress: (progress: Progress) => void
): Promise<PlannedModel & { folder: Awaited<ReturnType<typeof openModelFolder>> }> {
  const folder = await openModelFolder(await openModelFiles(source, siteRoot, onProgress))
  const { config, layout } = readArchitecture(folder.configJson)
  const { tensors } = folder.weights
  const stored = [...matchWeights(config, layout, tensors).values()].map((name) => tensors.get(name)!)
  return { config, layout, tokenizer: folder.tokenizer, base: weightBytes(stored, source.precision ?? 'stored', canPack()), folder }
}

export interface LoadOptions {
  device: DeviceReport
  limits: MemoryLimits
  /** Called when all that can be known before the weights has been checked: the model before may go, so that never both are held. */
  onReady: () => void
}

/** The model at a folder of the site or in this browser's storage. Throws a `UserError` that names the file, field or tensor that is wrong. */
export async function loadModel(
  source: ModelSource,
  siteRoot: string,
  { device, limits, onReady }: LoadOptions,
  onProgress: (progress: Progress) => void
): Promise<LoadedModel> {
  const { config, tokenizer, base, folder } = await planModel(source, siteRoot, onProgress)
  const { parameters, card } = folder
  const problem = baseProblem(base, limits)
  if (problem) throw new UserError(problem.message, problem.advice)
  onReady()
  const decoder = await createDecoder(folder.configJson, folder.weights, {
    device,
    precision: source.precision,
    onTensor: (loaded, total) => onProgress({ stage: 'Unpacking weights', loaded, total, unit: 'items' })
  })
  return {
    decoder,
    tokenizer,
    base,
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
