// Model folders in memory for tests: the tiny model, sharded or stored in half precision.
import { readSafetensors, tensorToFloat32, writeSafetensors } from '../../src/engine/formats/safetensors'
import { blobFiles, type ModelFiles } from '../../src/engine/formats/modelFiles'
import { tinyModelFiles } from '../e2e/tinyModel'

export type Folder = Record<string, string | Uint8Array>

export const tinyFolder: Folder = tinyModelFiles()

export const filesOf = (folder: Folder): ModelFiles =>
  blobFiles(new Map(Object.entries(folder).map(([name, content]) => [name, new Blob([content as BlobPart])])))

export const without = (folder: Folder, ...names: string[]): Folder =>
  Object.fromEntries(Object.entries(folder).filter(([name]) => !names.includes(name)))

/** The folder with its weights dealt out over so many files, and their index. */
export function sharded(folder: Folder, count: number): Folder {
  const file = readSafetensors(folder['model.safetensors'] as Uint8Array)
  const names = [...file.tensors.keys()]
  const shardName = (shard: number) => `model-0000${shard + 1}-of-0000${count}.safetensors`
  const shards = Array.from({ length: count }, (_, shard) => {
    const mine = names.filter((_, index) => index % count === shard)
    const tensors = mine.map((name) => [name, { shape: file.tensors.get(name)!.shape, data: tensorToFloat32(file, name) }])
    return [shardName(shard), writeSafetensors(Object.fromEntries(tensors) as Parameters<typeof writeSafetensors>[0])]
  })
  const index = { metadata: {}, weight_map: Object.fromEntries(names.map((name, at) => [name, shardName(at % count)])) }
  return {
    ...without(folder, 'model.safetensors'),
    ...(Object.fromEntries(shards) as Folder),
    'model.safetensors.index.json': JSON.stringify(index)
  }
}

/** A safetensors file of any header, honest or not. */
export function rawSafetensors(header: unknown, data: Uint8Array, headerLength?: bigint): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header))
  const file = new Uint8Array(8 + json.length + data.length)
  new DataView(file.buffer).setBigUint64(0, headerLength ?? BigInt(json.length), true)
  file.set(json, 8)
  file.set(data, 8 + json.length)
  return file
}

/** The folder with its weights cut to bfloat16, as most models of the Hub are stored. */
export function bfloat16(folder: Folder): Folder {
  const file = readSafetensors(folder['model.safetensors'] as Uint8Array)
  const header: Record<string, unknown> = {}
  const halves: number[] = []
  for (const [name, { shape }] of file.tensors) {
    const begin = halves.length * 2
    for (const bits of new Uint32Array(tensorToFloat32(file, name).buffer)) halves.push(bits >>> 16)
    header[name] = { dtype: 'BF16', shape, data_offsets: [begin, halves.length * 2] }
  }
  return { ...folder, 'model.safetensors': rawSafetensors(header, new Uint8Array(Uint16Array.from(halves).buffer)) }
}
