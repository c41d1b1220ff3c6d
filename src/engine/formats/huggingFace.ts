// A model's folder as Hugging Face keeps it, with some of its weights changed: written tensor by tensor, so that no one needs the memory of all.
import type { WeightChange } from '../methods/merge'
import type { BaseShape } from '../methods/method'
import { matchWeights } from '../model/weights'
import { decodeTensor, safetensorsHeader, storedBytes, type StoredTensor } from './safetensors'
import type { WeightSource } from './weightSource'

/** A file to be written: `trained` numbers hardly shrink, text does. */
export interface FolderFile {
  name: string
  data: Blob
  compress: boolean
}

/** A base as its folder holds it. */
export interface BaseFolder extends BaseShape {
  /** Its config.json, parsed. */
  json: unknown
  weights: WeightSource
  /** Tokenizer and the like, which stay as they are. */
  others: readonly FolderFile[]
}

/**
 * The whole model with its changed weights: config.json, model.safetensors and the base's other files. Changed tensors are float32, all others keep
 * the bits and the dtype that they have; names are the full Hugging Face names. A tied head is left out, as Transformers does.
 * @throws UserError where the weights do not belong to the config, and whatever `weights.read` throws
 */
export async function changedModel(base: BaseFolder, changes: ReadonlyMap<string, WeightChange>): Promise<FolderFile[]> {
  return [
    { name: 'config.json', data: new Blob([JSON.stringify(asFloat32(base.json), null, 2)]), compress: true },
    { name: 'model.safetensors', data: await changedWeights(base, changes), compress: false },
    ...base.others
  ]
}

/** The changed tensors alone, as `changed.safetensors`: to be loaded over the base. Throws as `changedModel`. */
export async function changedTensors(base: BaseFolder, changes: ReadonlyMap<string, WeightChange>): Promise<FolderFile> {
  const data = await changedWeights(base, changes, (name) => changes.has(name))
  return { name: 'changed.safetensors', data, compress: false }
}

async function changedWeights(
  { config, layout, weights }: BaseFolder,
  changes: ReadonlyMap<string, WeightChange>,
  wanted: (name: string) => boolean = () => true
): Promise<Blob> {
  const written = [...matchWeights(config, layout, weights.tensors)]
    .filter(([name]) => wanted(name))
    .map(([name, key]) => {
      const stored = weights.tensors.get(key)!
      const tensor: StoredTensor = { ...stored, dtype: changes.has(name) ? 'F32' : stored.dtype }
      return { name, key, stored, tensor }
    })
    // Wide numbers first, as the safetensors library does, so that each tensor is aligned.
    .sort((a, b) => width(b.tensor) - width(a.tensor) || (a.name < b.name ? -1 : 1))
  const parts = [
    new Blob([
      safetensorsHeader(
        written.map(({ name, tensor }) => [name, tensor]),
        { format: 'pt' }
      )
    ])
  ]
  for (const { name, key, stored } of written) {
    const bytes = await weights.read(key)
    // A Blob at a time, which the browser may keep on disk.
    parts.push(new Blob([(changes.get(name)?.(decodeTensor(key, stored, bytes)) ?? bytes) as Uint8Array<ArrayBuffer>]))
  }
  return new Blob(parts)
}

const width = ({ dtype }: StoredTensor): number => storedBytes({ dtype, shape: [8] })

/** Transformers loads everything as the dtype that config.json names; changed weights must not be rounded. */
function asFloat32(json: unknown): unknown {
  const { torch_dtype: _, ...config } = json as Record<string, unknown>
  return { ...config, dtype: 'float32' }
}
