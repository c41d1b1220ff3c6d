// Fetches the files of a model or task folder from the site itself, with progress, and says plainly which one is missing.
import { UserError } from '../engine/errors'
import { blobFiles, type ModelFiles } from '../engine/formats/modelFiles'
import { INDEX, readShardIndex, SINGLE } from '../engine/formats/weightFiles'
import type { Progress } from './protocol'

const OFFLINE_ADVICE = 'Check the connection, or open the page once online so that it is kept for offline use.'
const FOLDER_ADVICE = 'Check the folder: a model or task needs all of its files.'

async function request(address: string): Promise<Response> {
  let response: Response
  try {
    response = await fetch(address)
  } catch {
    throw new UserError(`${address} could not be reached.`, OFFLINE_ADVICE)
  }
  return response
}

function isMissing(response: Response): boolean {
  // A single-page host answers a missing file with its index page.
  return response.status === 404 || (response.headers.get('content-type') ?? '').startsWith('text/html')
}

async function requireFile(address: string): Promise<Response> {
  const response = await request(address)
  if (isMissing(response)) throw new UserError(`There is no file ${address}.`, FOLDER_ADVICE)
  if (!response.ok) throw new UserError(`${address} answered with status ${response.status}.`, OFFLINE_ADVICE)
  return response
}

/** A text file; throws a `UserError` where it is missing. */
export async function fetchText(address: string): Promise<string> {
  return (await requireFile(address)).text()
}

/** A text file, or undefined where there is none. */
export async function fetchOptionalText(address: string): Promise<string | undefined> {
  const response = await request(address)
  return response.ok && !isMissing(response) ? response.text() : undefined
}

/** A big file as a Blob, which the browser may keep out of memory, or undefined where there is none; `onProgress` sees the bytes arrive. */
async function fetchOptionalBlob(address: string, stage: string, onProgress: (progress: Progress) => void): Promise<Blob | undefined> {
  const response = await request(address)
  if (isMissing(response)) return undefined
  if (!response.ok || !response.body) throw new UserError(`${address} answered with status ${response.status}.`, OFFLINE_ADVICE)
  const total = Number(response.headers.get('content-length') ?? 0)
  let loaded = 0
  const counter = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform(piece, controller) {
      loaded += piece.length
      onProgress({ stage, loaded, total: Math.max(total, loaded), unit: 'bytes' })
      controller.enqueue(piece)
    }
  })
  try {
    return await new Response(response.body.pipeThrough(counter)).blob()
  } catch {
    throw new UserError(`${address} came only in part.`, OFFLINE_ADVICE)
  }
}

/** The files of a model at a folder of the site. Throws a `UserError` that names the one that is missing. */
export async function openSiteModel(folder: string, onProgress: (progress: Progress) => void): Promise<ModelFiles> {
  const blobs = new Map<string, Blob>()
  const fetchInto = async (name: string, stage = 'Reading the model'): Promise<boolean> => {
    const blob = await fetchOptionalBlob(`${folder}/${name}`, stage, onProgress)
    if (blob) blobs.set(name, blob)
    return blob !== undefined
  }
  const fetchWeights = async (name: string): Promise<boolean> => fetchInto(name, 'Downloading weights')
  await Promise.all(['config.json', 'tokenizer_config.json', 'special_tokens_map.json', 'README.md'].map((name) => fetchInto(name)))
  if (!blobs.has('config.json')) throw new UserError(`There is no file ${folder}/config.json.`, FOLDER_ADVICE)
  if (!(await fetchInto('tokenizer.json'))) await Promise.all(['vocab.json', 'merges.txt'].map((name) => fetchInto(name)))
  if (!(await fetchWeights(SINGLE)) && (await fetchWeights(INDEX))) {
    for (const shard of (await readShardIndex(blobFiles(blobs))).shards) await fetchWeights(shard)
  }
  return blobFiles(blobs)
}
