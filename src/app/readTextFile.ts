// Reads a file that a person gave as text, and says what is wrong with one that is none.
import { UserError } from '../engine/errors'

/** A data set that is larger would not fit a race in a browser anyway. */
const MAXIMUM_BYTES = 32 * 2 ** 20

/** UTF-8, or UTF-16 where the file says so. Throws a `UserError` for other bytes and for files that are too large. */
export async function readTextFile(file: File): Promise<string> {
  if (file.size > MAXIMUM_BYTES) {
    throw new UserError(`${file.name} has ${Math.round(file.size / 2 ** 20)} MB.`, `Give a file of at most ${MAXIMUM_BYTES / 2 ** 20} MB: some thousand rows are plenty.`)
  }
  const bytes = new Uint8Array(await file.arrayBuffer())
  const encoding = bytes[0] === 0xff && bytes[1] === 0xfe ? 'utf-16le' : bytes[0] === 0xfe && bytes[1] === 0xff ? 'utf-16be' : 'utf-8'
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes)
  } catch {
    throw new UserError(`${file.name} is not a text in UTF-8.`, 'Save it as CSV or JSONL with the encoding UTF-8 and try again.')
  }
}
