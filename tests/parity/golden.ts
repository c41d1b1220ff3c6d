// Reads golden fixtures in the browser: what PyTorch, Transformers, PEFT, tokenizers and scikit-learn computed.
import { readSafetensors, tensorToFloat32 } from '../../src/engine/formats/safetensors'
import { weightsOfBytes } from '../fixtures/weightsOfBytes'
import { supportedArchitectures } from '../../src/engine/model/architectures'
import type { Batch } from '../../src/engine/model/batch'
import { createDecoder } from '../../src/engine/model/createDecoder'
import type { Decoder } from '../../src/engine/model/decoder'

/** A folder's contents. `own` is true for the repository's fixtures and false for those of GOLDEN_DIR. */
export interface GoldenFolder {
  own: boolean
  folders: string[]
  files: string[]
}

async function fetchGolden(path: string): Promise<Response> {
  const response = await fetch(`/golden/${path}`)
  if (!response.ok) throw new Error(`There is no golden fixture ${path}.`)
  return response
}

/** The folder's entries, sorted; `''` is the root, other paths need no slash at the end. */
export async function listFolders(path = ''): Promise<GoldenFolder> {
  return (await fetchGolden(path === '' ? '' : `${path}/`)).json() as Promise<GoldenFolder>
}

/** A JSON file such as `llama/expected.json`, taken for a T. */
export async function readJson<T>(path: string): Promise<T> {
  return (await fetchGolden(path)).json() as Promise<T>
}

/** A file's bytes. */
export async function readBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await (await fetchGolden(path)).arrayBuffer())
}

/** The float32 tensors of a safetensors file. */
export async function readTensors(path: string): Promise<Record<string, { shape: number[]; data: Float32Array }>> {
  const file = readSafetensors(await readBytes(path))
  return Object.fromEntries([...file.tensors].map(([name, { shape }]) => [name, { shape, data: tensorToFloat32(file, name) }]))
}

export interface GoldenBatch {
  input_ids: number[][]
  attention_mask: number[][]
  /** All tokens, -100 where no loss is taken. */
  labels: number[][]
  /** The last real token alone. */
  class_labels: number[][]
}

/** A trajectory of ten AdamW steps: losses before each update. */
export interface GoldenTrajectory {
  lr: number
  weight_decay: number
  labels: 'labels' | 'class_labels'
  losses: number[]
}

/** `<architecture>/expected.json`. */
export interface GoldenExpectation {
  batch: GoldenBatch
  forward: { loss: number; class_loss: number; logits_row0: number[][] }
  grads: Record<string, { norm: number; sum: number; first: number[] }>
  generate: { prompt: number[]; greedy: number[] }
  full: Omit<GoldenTrajectory, 'labels'> & { final_first: Record<string, number[]> }
  prompt: GoldenTrajectory & { initial: number[][]; final: number[][] }
  prefix: GoldenTrajectory & { initial: number[][]; final: number[][] }
  /** Low-rank pairs by module: `<path>.lora_A` `[r, in]` and `<path>.lora_B` `[out, r]`. */
  lora: GoldenTrajectory & { r: number; alpha: number; initial: Record<string, number[][]>; final: Record<string, number[][]> }
  /** Scales by module: `<path>.ia3_l.default`, of the input of `feedforward_modules` and the output of the others. */
  ia3: GoldenTrajectory & { feedforward_modules: string[]; initial: Record<string, number[]>; final: Record<string, number[]> }
  /** All biases; absent where the model has none. */
  bitfit?: GoldenTrajectory
  /** The last layer and the final norm. */
  last_layer: GoldenTrajectory & { trainable: number }
}

/** Folders of models whose architecture the engine has, and the others. */
export async function listModels(): Promise<{ own: boolean; supported: string[]; unsupported: string[] }> {
  const { own, folders } = await listFolders()
  const supported: string[] = []
  const unsupported: string[] = []
  for (const folder of folders) {
    const { files } = await listFolders(folder)
    if (!files.includes('config.json')) continue
    const { model_type: type } = await readJson<{ model_type: string }>(`${folder}/config.json`)
    ;(supportedArchitectures.includes(type) ? supported : unsupported).push(folder)
  }
  return { own, supported, unsupported }
}

/** The folder's model on the current backend, and what is expected of it. The caller disposes the decoder. */
export async function loadModel(folder: string): Promise<{ decoder: Decoder; expected: GoldenExpectation }> {
  const [config, weights, expected] = await Promise.all([
    readJson<unknown>(`${folder}/config.json`),
    readBytes(`${folder}/model.safetensors`),
    readJson<GoldenExpectation>(`${folder}/expected.json`)
  ])
  const decoder = await createDecoder(config, await weightsOfBytes(weights))
  for (const named of [expected.grads, expected.full.final_first]) renameHead(named, decoder)
  return { decoder, expected }
}

/** Transformers 5 calls every output head `lm_head` in memory and keeps GPT-NeoX's `embed_out` in files; the engine goes by the file. */
function renameHead(named: Record<string, unknown>, decoder: Decoder): void {
  const { head } = decoder.layout
  if (head in named || !('lm_head.weight' in named)) return
  named[head] = named['lm_head.weight']
  delete named['lm_head.weight']
}

/** The golden batch as the engine's: Hugging Face's labels shift by one inside, so position t predicts the label of t + 1. */
export function toBatch({ input_ids: ids, attention_mask: mask, ...labels }: GoldenBatch, which: 'labels' | 'class_labels'): Batch {
  const size = ids.length
  const time = ids[0]?.length ?? 0
  const labelRows: number[] = []
  const labelIds: number[] = []
  labels[which].forEach((row, index) =>
    row.forEach((label, position) => {
      if (position === 0 || label === -100) return
      labelRows.push(index * time + position - 1)
      labelIds.push(label)
    })
  )
  return {
    size,
    time,
    inputIds: Int32Array.from(ids.flat()),
    lengths: Int32Array.from(mask.map((row) => row.reduce((sum, bit) => sum + bit, 0))),
    labelRows: Int32Array.from(labelRows),
    labelIds: Int32Array.from(labelIds),
    labelWeights: new Float32Array(labelIds.length).fill(1 / labelIds.length)
  }
}

/** The largest difference between two lists, relative to the largest magnitude expected. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity
  let difference = 0
  let magnitude = 0
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs((actual[i] as number) - (expected[i] as number))
    difference = Number.isNaN(error) ? Infinity : Math.max(difference, error)
    magnitude = Math.max(magnitude, Math.abs(expected[i] as number))
  }
  return difference / Math.max(magnitude, 1e-30)
}
