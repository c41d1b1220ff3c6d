// Comma-, tab-, semicolon- and bar-separated tables, with the line in which each row begins.
import Papa from 'papaparse'
import { UserError } from '../engine/errors'
import type { ParsedRow, ParsedTable } from './parse'

interface CellRow {
  cells: string[]
  line: number
}

const separators = { ',': 'commas', '\t': 'tabs', ';': 'semicolons', '|': 'bars' }

/**
 * A table with a header, or without one where the first line looks like data; its columns are then called `column 1`, `column 2`...
 * @param separator found in the text where it is not given
 * @throws UserError with the number of the line that is wrong
 */
export function parseDelimited(text: string, separator = findSeparator(text)): ParsedTable {
  const [header, ...rows] = readCells(text, separator)
  if (!header) return { columns: [], rows: [], notes: [] }
  for (const { cells, line } of rows) {
    while (cells.length > header.cells.length && cells.at(-1)?.trim() === '') cells.pop()
    if (cells.length === header.cells.length) continue
    throw new UserError(
      `Line ${line} has ${cells.length} ${cells.length === 1 ? 'cell' : 'cells'}, and the first line has ${header.cells.length}.`,
      `Put texts that hold ${separators[separator as keyof typeof separators] ?? 'separators'} into quotation marks, and give every row all its cells.`
    )
  }
  const headless = header.cells.some((name, c) => name.trim() !== '' && rows.some(({ cells }) => cells[c] === name))
  const columns = header.cells.map((name, c) => (headless || name.trim() === '' ? `column ${c + 1}` : name.trim()))
  const twice = columns.find((name, c) => columns.indexOf(name) !== c)
  if (twice !== undefined) throw new UserError(`Two columns are called "${twice}".`, 'Give each column its own name in the first line.')
  const body = headless ? [header, ...rows] : rows
  return {
    columns,
    rows: body.map(({ cells, line }): ParsedRow => ({
      values: Object.fromEntries(columns.map((name, c) => [name, cells[c] as string])),
      line
    })),
    notes: headless ? ['The first line looks like a row and not like names, so the columns are numbered.'] : []
  }
}

/** Rows with something in them. */
function readCells(text: string, delimiter: string, preview = 0): CellRow[] {
  const rows: CellRow[] = []
  let line = 1
  let read = 0
  Papa.parse<string[]>(text, {
    delimiter,
    preview,
    step: ({ data: cells, errors, meta }) => {
      if (errors.length > 0 && preview === 0) {
        throw new UserError(
          `The quotation marks in line ${line} do not match.`,
          'Put quotation marks around the whole text, and write those inside it twice ("").'
        )
      }
      if (cells.some((cell) => cell.trim() !== '')) rows.push({ cells, line })
      line += text.slice(read, meta.cursor).split('\n').length - 1
      read = meta.cursor
    }
  })
  return rows
}

/** The separator by which most of the first rows have as many cells as the header, and more than one. */
function findSeparator(text: string): string {
  const scored = Object.keys(separators).map((separator) => {
    const [header, ...rows] = readCells(text, separator, 50)
    const columns = header?.cells.length ?? 0
    const even = rows.filter(({ cells }) => cells.length === columns).length / Math.max(rows.length, 1)
    return { separator, columns, score: columns > 1 ? even : -1 }
  })
  scored.sort((a, b) => b.score - a.score || b.columns - a.columns)
  return scored[0]?.separator as string
}
