// Reads a data file (CSV, TSV, JSON, JSON Lines) into rows of text by column, or says in which line it is wrong.
import { UserError } from '../engine/errors'
import { parseDelimited } from './parseDelimited'
import { parseJson } from './parseJson'

export interface ParsedRow {
  /** By column; an empty text where there is nothing. */
  values: Record<string, string>
  /** Where the row begins in the file, from 1. */
  line: number
}

export interface ParsedTable {
  columns: string[]
  /** Rows with something in them. */
  rows: ParsedRow[]
  /** What was found odd, for the reader. */
  notes: string[]
}

const saveAsUtf8 = 'Save the file as UTF-8 text (in a spreadsheet: "CSV UTF-8") and choose it again.'

/**
 * The text of a file's bytes: UTF-8, or UTF-16 where a byte-order mark says so.
 * @throws UserError naming the first line that is not text
 */
export function decodeText(bytes: Uint8Array): string {
  const [first, second] = bytes
  const encoding = first === 0xff && second === 0xfe ? 'utf-16le' : first === 0xfe && second === 0xff ? 'utf-16be' : 'utf-8'
  const text = new TextDecoder(encoding).decode(bytes)
  assertText(text)
  return text
}

/**
 * The rows of a data file. Its name tells the format, and its content where the name does not, or where a text file holds JSON.
 * @throws UserError with the number of the line that is wrong
 */
export function parseTable(name: string, text: string): ParsedTable {
  // Files from Windows end their lines otherwise and may begin with a byte-order mark.
  const content = text.replace(/^\ufeff/, '').replace(/\r\n?/g, '\n')
  assertText(content)
  if (content.trim() === '') throw new UserError(`The file "${name}" is empty.`, 'Choose a file with a text and a label in each row.')
  const table = holdsJson(name, content) ? parseJson(content) : parseDelimited(content, /\.(tsv|tab)$/i.test(name) ? '\t' : undefined)
  if (table.rows.length === 0)
    throw new UserError(`The file "${name}" has columns but no rows.`, 'Choose a file with a text and a label in each row.')
  return table
}

function holdsJson(name: string, content: string): boolean {
  return /\.(json|jsonl|ndjson)$/i.test(name) || /^\s*(\[\s*)?\{\s*"/.test(content)
}

/** A NUL comes from UTF-16, and U+FFFD from any other encoding, read as UTF-8. */
function assertText(content: string): void {
  const at = content.search(/[\0\ufffd]/)
  if (at < 0) return
  const line = content.slice(0, at).split('\n').length
  throw new UserError(`Line ${line} holds a character that cannot be read as UTF-8 text.`, saveAsUtf8)
}
