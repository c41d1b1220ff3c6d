// Model folders in memory for tests: the tiny model, sharded or stored in half precision.
import { readSafetensors } from '../../src/engine/formats/safetensors'
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
  const whole = folder['model.safetensors'] as Uint8Array
  const { tensors } = readSafetensors(whole)
  const names = [...tensors.keys()]
  const shardName = (shard: number) => `model-0000${shard + 1}-of-0000${count}.safetensors`
  const shards = Array.from({ length: count }, (_, shard): [string, Uint8Array] => {
    const mine = names.filter((_, index) => index % count === shard)
    return [shardName(shard), ofRows(mine.map((name) => ({ ...tensors.get(name)!, name, bytes: bytesOf(whole, tensors.get(name)!) })))]
  })
  const index = { metadata: {}, weight_map: Object.fromEntries(names.map((name, at) => [name, shardName(at % count)])) }
  return { ...without(folder, 'model.safetensors'), ...Object.fromEntries(shards), 'model.safetensors.index.json': JSON.stringify(index) }
}

/** The folder with its weights cut to bfloat16, as most models of the Hub are stored. */
export function bfloat16(folder: Folder): Folder {
  const whole = folder['model.safetensors'] as Uint8Array
  const rows = [...readSafetensors(whole).tensors].map(([name, entry]) => {
    const halves = Uint16Array.from(new Uint32Array(bytesOf(whole, entry).buffer), (bits) => bits >>> 16)
    return { name, dtype: 'BF16', shape: entry.shape, bytes: new Uint8Array(halves.buffer) }
  })
  return { ...folder, 'model.safetensors': ofRows(rows) }
}

const bytesOf = (file: Uint8Array, { begin, end }: { begin: number; end: number }): Uint8Array => file.slice(begin, end)

function ofRows(rows: { name: string; dtype: string; shape: number[]; bytes: Uint8Array }[]): Uint8Array {
  const header: Record<string, unknown> = {}
  let length = 0
  for (const { name, dtype, shape, bytes } of rows) header[name] = { dtype, shape, data_offsets: [length, (length += bytes.length)] }
  return rawSafetensors(header, new Uint8Array(Buffer.concat(rows.map(({ bytes }) => bytes))))
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
