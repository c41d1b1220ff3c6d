// The files of a model wherever they are: a site, a hub, a folder, a zip, the browser's storage.
import { UserError } from '../errors'
import { assertSoundJson, type JsonLimits } from './headerJson'

export interface ModelFiles {
  /** Plain names, without a folder: "config.json". */
  names: readonly string[]
  /** Bytes of a file that is among `names`. */
  size(name: string): number
  /** A file's bytes from `begin` up to, but without, `end`; the whole file where they are left out. */
  read(name: string, begin?: number, end?: number): Promise<Uint8Array>
}

/** Files held as Blobs, which the browser may keep out of the JS heap; a `File` on disk is one. */
export function blobFiles(blobs: ReadonlyMap<string, Blob>): ModelFiles {
  const blobOf = (name: string): Blob => {
    const blob = blobs.get(name)
    if (!blob) throw missing(name)
    return blob
  }
  return {
    names: [...blobs.keys()],
    size: (name) => blobOf(name).size,
    read: async (name, begin = 0, end = blobOf(name).size) => {
      try {
        return new Uint8Array(await blobOf(name).slice(begin, end).arrayBuffer())
      } catch {
        throw new UserError(`${name} cannot be read any more.`, 'It was moved or changed since it was chosen: choose it again.')
      }
    }
  }
}

export function missing(name: string): UserError {
  return new UserError(`There is no ${name} among the files.`, 'A model needs config.json, a tokenizer and safetensors weights.')
}

/** Bounds for a JSON file of a model: what published files hold, several times over. */
const jsonLimits: Record<string, JsonLimits & { maximumBytes: number }> = {
  'config.json': { maximumBytes: 1_000_000, maximumMarks: 50_000, maximumDepth: 16 },
  // Gemma's has 256,000 tokens, 580,000 merges and 34 MB.
  'tokenizer.json': { maximumBytes: 100_000_000, maximumMarks: 5_000_000, maximumDepth: 32 },
  'vocab.json': { maximumBytes: 30_000_000, maximumMarks: 2_000_000, maximumDepth: 1 },
  'model.safetensors.index.json': { maximumBytes: 10_000_000, maximumMarks: 200_000, maximumDepth: 3 }
}

const otherLimits = { maximumBytes: 10_000_000, maximumMarks: 500_000, maximumDepth: 16 }

/** Parses a JSON file that may be hostile. Throws a `UserError` that names the file where it is too big, too deep or no JSON. */
export async function readJson(files: ModelFiles, name: string): Promise<unknown> {
  const limits = jsonLimits[name] ?? otherLimits
  const size = files.size(name)
  const wrong = (what: string) => new UserError(`${name} cannot be used: it ${what}.`, 'Fetch or save the file again.')
  if (size > limits.maximumBytes) throw wrong(`has ${size} bytes, and ${limits.maximumBytes} are allowed`)
  const bytes = await files.read(name)
  try {
    assertSoundJson(bytes, limits)
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown
  } catch (error) {
    throw wrong(error instanceof RangeError ? error.message : 'is not valid JSON; it may be cut')
  }
}

/** A text file. Throws a `UserError` where it is longer than `maximumBytes` or not UTF-8. */
export async function readText(files: ModelFiles, name: string, maximumBytes: number): Promise<string> {
  const size = files.size(name)
  if (size > maximumBytes)
    throw new UserError(`${name} has ${size} bytes, and ${maximumBytes} are allowed.`, 'Fetch or save the file again.')
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(await files.read(name))
  } catch (error) {
    throw error instanceof UserError ? error : new UserError(`${name} is not UTF-8 text.`, 'Fetch or save the file again.')
  }
}
