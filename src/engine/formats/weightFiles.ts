// The weights of a model folder: one safetensors file, or shards with an index, checked against each other.
import * as v from 'valibot'
import { UserError } from '../errors'
import { missing, readJson, type ModelFiles } from './modelFiles'
import type { StoredTensor } from './safetensors'
import { weightsOfRanges, type WeightSource } from './weightSource'

export const SINGLE = 'model.safetensors'
export const INDEX = 'model.safetensors.index.json'

const MAXIMUM_SHARDS = 1000
const ADVICE = 'Fetch the index and all of its files again, from the same place.'

const isTextMap = (value: unknown): value is Record<string, string> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every((entry) => typeof entry === 'string')

const indexSchema = v.looseObject({ weight_map: v.custom<Record<string, string>>(isTextMap) })

const quote = (name: string) => JSON.stringify(name.length > 80 ? `${name.slice(0, 79)}…` : name)

interface ShardIndex {
  /** File by tensor. */
  fileOf: Map<string, string>
  /** In the order of their names. */
  shards: string[]
}

/**
 * Reads the index of sharded weights.
 * @throws UserError where it is not one, or names a file outside its folder
 * @see https://huggingface.co/docs/safetensors/metadata_parsing
 */
export async function readShardIndex(files: ModelFiles): Promise<ShardIndex> {
  const parsed = v.safeParse(indexSchema, await readJson(files, INDEX))
  if (!parsed.success) throw new UserError(`${INDEX} has no weight_map that tells the file of each tensor.`, ADVICE)
  const fileOf = new Map(Object.entries(parsed.output.weight_map))
  const shards = [...new Set(fileOf.values())].sort()
  if (shards.length === 0 || shards.length > MAXIMUM_SHARDS) throw new UserError(`${INDEX} names ${shards.length} files.`, ADVICE)
  const strange = shards.find((name) => !/^[\w-][\w.-]*\.safetensors$/.test(name))
  if (strange !== undefined) throw new UserError(`${INDEX} names ${quote(strange)}, which is no safetensors file of its folder.`, ADVICE)
  return { fileOf, shards }
}

/**
 * The weights, read by ranges; all headers are read and checked now, so that nothing is believed of the index.
 * @throws UserError naming the file or the tensor that is wrong
 */
export async function openWeights(files: ModelFiles): Promise<WeightSource> {
  if (files.names.includes(SINGLE)) return openShard(files, SINGLE)
  const { fileOf, shards } = await readShardIndex(files)
  const tensors = new Map<string, StoredTensor>()
  const sources = new Map<string, WeightSource>()
  for (const shard of shards) {
    if (!files.names.includes(shard)) throw missing(shard)
    const source = await openShard(files, shard)
    sources.set(shard, source)
    for (const [name, tensor] of source.tensors) {
      const expected = fileOf.get(name)
      if (expected !== shard) {
        throw new UserError(
          `${shard} holds ${quote(name)}, which ${INDEX} ${expected ? `expects in ${expected}` : 'does not know'}.`,
          ADVICE
        )
      }
      tensors.set(name, tensor)
    }
  }
  const lost = [...fileOf].find(([name]) => !tensors.has(name))
  if (lost) throw new UserError(`${INDEX} expects ${quote(lost[0])} in ${lost[1]}, which does not hold it.`, ADVICE)
  return {
    tensors,
    read: (name) => {
      const source = sources.get(fileOf.get(name) ?? '')
      if (!source) throw new UserError(`The weights have no tensor ${quote(name)}.`, 'Check that they belong to this config.json.')
      return source.read(name)
    }
  }
}

async function openShard(files: ModelFiles, name: string): Promise<WeightSource> {
  try {
    return await weightsOfRanges(files.size(name), (begin, end) => files.read(name, begin, end))
  } catch (error) {
    if (!(error instanceof UserError) || name === SINGLE) throw error
    throw new UserError(`${name}: ${error.message}`, error.advice)
  }
}
