// JSON arrays and JSON Lines, read item by item, so that a mistake has a line.
import { UserError } from '../engine/errors'
import type { ParsedRow, ParsedTable } from './parse'

interface Item {
  text: string
  line: number
}

/**
 * A list of objects, one object with such a list in it (`{"data": [...]}`), or an object a line.
 * @throws UserError with the number of the line that is wrong
 */
export function parseJson(text: string): ParsedTable {
  const items = text.trimStart().startsWith('[') ? splitList(text) : (wrappedList(text) ?? splitLines(text))
  const columns = new Set<string>()
  const rows = items.map(({ text: json, line }): ParsedRow => {
    const value = parseItem(json, line)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new UserError(`The row in line ${line} is not an object.`, 'Write each row as {"text": "...", "label": "..."}.')
    }
    const values = Object.entries(value).map(([name, cell]): [string, string] => {
      columns.add(name)
      return [name, asText(cell)]
    })
    return { values: Object.fromEntries(values), line }
  })
  // Objects may leave fields out.
  const empty = Object.fromEntries([...columns].map((name) => [name, '']))
  return { columns: [...columns], rows: rows.map(({ values, line }) => ({ values: { ...empty, ...values }, line })), notes: [] }
}

function parseItem(json: string, line: number): unknown {
  try {
    return JSON.parse(json)
  } catch {
    throw new UserError(`The row in line ${line} is not valid JSON.`, 'Check its quotation marks, commas and brackets.')
  }
}

function asText(cell: unknown): string {
  if (typeof cell === 'string') return cell
  return cell === null ? '' : JSON.stringify(cell)
}

function splitLines(text: string): Item[] {
  return text.split('\n').flatMap((line, i) => (line.trim() === '' ? [] : [{ text: line, line: i + 1 }]))
}

/** The only list of objects in a file that is one object. */
function wrappedList(text: string): Item[] | undefined {
  let whole: unknown
  try {
    whole = JSON.parse(text)
  } catch {
    return undefined
  }
  const lists = Object.values(whole ?? {}).filter((value): value is object[] => Array.isArray(value) && typeof value[0] === 'object')
  return lists.length === 1 ? lists[0]?.map((item) => ({ text: JSON.stringify(item), line: 1 })) : undefined
}

/** The items of a JSON array as text: cut at the commas that stand in no string and no inner bracket. */
function splitList(text: string): Item[] {
  const items: Item[] = []
  let line = 1
  let depth = 0
  let start = 0
  let startLine: number | undefined
  for (let i = 0; i < text.length; i++) {
    const letter = text[i] as string
    if (letter === '\n') line++
    if (depth === 1 && (letter === ',' || letter === ']')) {
      const nothing = letter === ']' && items.length === 0 && startLine === undefined
      if (!nothing) items.push({ text: text.slice(start, i), line: startLine ?? line })
      if (letter === ']') {
        if (text.slice(i + 1).trim() === '') return items
        throw new UserError(`The list ends in line ${line}, but more text follows.`, 'Check the brackets, or write one object a line.')
      }
      ;[start, startLine] = [i + 1, undefined]
      continue
    }
    if (depth === 0) start = i + 1
    else if (!/\s/.test(letter)) startLine ??= line
    if (letter === '"') {
      for (i++; i < text.length && text[i] !== '"'; i++) {
        if (text[i] === '\\') i++
        else if (text[i] === '\n') line++
      }
    }
    if (letter === '[' || letter === '{') depth++
    if (letter === ']' || letter === '}') depth--
  }
  throw new UserError(`The row in line ${startLine ?? line} has no end.`, 'Check its quotation marks and brackets: the file may be cut.')
}
