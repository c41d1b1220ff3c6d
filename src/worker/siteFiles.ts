// Fetches the files of a model or task folder from the site itself, with progress, and says plainly which one is missing.
import { UserError } from '../engine/errors'
import type { Progress } from './protocol'

const OFFLINE_ADVICE = 'Check the connection, or open the page once online so that it is kept for offline use.'

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
  if (isMissing(response)) throw new UserError(`There is no file ${address}.`, 'Check the folder: a model or task needs all of its files.')
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

/** A JSON file; throws a `UserError` where it is missing or not JSON. */
export async function fetchJson(address: string): Promise<unknown> {
  const text = await fetchText(address)
  try {
    return JSON.parse(text) as unknown
  } catch {
    throw new UserError(`${address} is not valid JSON.`, 'Download the file again; it may be cut.')
  }
}

/** A binary file, read in chunks so that `onProgress` sees the bytes arrive. */
export async function fetchBytes(address: string, stage: string, onProgress: (progress: Progress) => void): Promise<Uint8Array> {
  const response = await requireFile(address)
  const total = Number(response.headers.get('content-length') ?? 0)
  const chunks: Uint8Array[] = []
  let loaded = 0
  const reader = response.body?.getReader()
  if (!reader) return new Uint8Array(await response.arrayBuffer())
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    chunks.push(value)
    loaded += value.length
    onProgress({ stage, loaded, total: Math.max(total, loaded), unit: 'bytes' })
  }
  const bytes = new Uint8Array(loaded)
  let offset = 0
  for (const chunk of chunks) {
    bytes.set(chunk, offset)
    offset += chunk.length
  }
  return bytes
}
