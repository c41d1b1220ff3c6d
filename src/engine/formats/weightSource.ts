// Where weights come from, one tensor at a time, so that no one ever needs the memory of a whole model.
import { UserError } from '../errors'
import { readSafetensorsHeader, safetensorsHeaderLength, type StoredTensor } from './safetensors'

/** What is known of every tensor at once, and its raw bytes when they are asked for. */
export interface WeightSource {
  tensors: ReadonlyMap<string, StoredTensor>
  /** The tensor's bytes as they are stored, little-endian; they may lie at any address. */
  read(name: string): Promise<Uint8Array>
}

/** A part of a file: `begin` is its first byte, `end` the one behind its last. */
export type RangeReader = (begin: number, end: number) => Promise<Uint8Array>

/**
 * A safetensors file of `length` bytes, read by ranges: its header now, its tensors when they are asked for.
 * @throws UserError where the header is damaged, or the file shorter or longer than it says
 */
export async function weightsOfRanges(length: number, readRange: RangeReader): Promise<WeightSource> {
  const headerLength = safetensorsHeaderLength(await readRange(0, Math.min(8, length)))
  const { tensors } = readSafetensorsHeader(await readRange(0, Math.min(8 + headerLength, length)), length)
  return {
    tensors,
    read: async (name) => {
      const { begin, end } = known(tensors, name)
      return readRange(begin, end)
    }
  }
}

/** Float32 numbers that are held in memory. */
export function weightsOfArrays(arrays: Readonly<Record<string, { shape: readonly number[]; data: Float32Array }>>): WeightSource {
  const held = new Map(Object.entries(arrays))
  return {
    tensors: new Map([...held].map(([name, { shape }]) => [name, { dtype: 'F32', shape: [...shape] }])),
    read: (name) => {
      const { data } = known(held, name)
      return Promise.resolve(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    }
  }
}

function known<T>(tensors: ReadonlyMap<string, T>, name: string): T {
  const tensor = tensors.get(name)
  if (!tensor) throw new UserError(`The weights have no tensor ${JSON.stringify(name)}.`, 'Check that they belong to this config.json.')
  return tensor
}
