// Finds which columns of a plain table hold the text and its label: by their names, else by what is in them.
import { UserError } from '../engine/errors'
import type { ParsedTable } from './parse'

/** More labels than these make a table nobody can read, and scores that mean little. */
export const maximumLabels = 50

/** What people call the column of texts, the likeliest first. */
const textNames =
  'text sentence review content message question utterance comment tweet body prompt input query document description title headline note'

/** What people call the column of labels. */
const labelNames = 'label labels class category sentiment target intent topic emotion subject outcome rating polarity tag'

/** Labels are short: longer texts in a column than this, on the mean, are not labels. */
const longestLabel = 40

export interface Columns {
  text: string
  label: string
}

/**
 * The columns asked for, and for those not asked for, the ones found.
 * @throws UserError listing the columns, where one is not there or cannot be told
 */
export function findColumns(table: ParsedTable, wanted: Partial<Columns>): Columns {
  if (table.columns.length < 2) {
    throw new UserError(`The file has only one column, ${list(table)}.`, 'It takes a column of texts and a column of labels.')
  }
  const facts = table.columns.map((name) => describeColumn(table, name))
  const label = given(table, wanted.label, 'label') ?? findLabel(facts, given(table, wanted.text, 'text'))
  if (label === undefined) throw cannotTell(table, 'label')
  const text = given(table, wanted.text, 'text') ?? findText(facts.filter(({ name }) => name !== label))
  if (text === undefined) throw cannotTell(table, 'text')
  if (text === label) throw new UserError(`The column "${text}" cannot be both text and label.`, `Choose another one: ${list(table)}.`)
  return { text, label }
}

/** A column's own spelling of a name, whatever its case. */
export function findColumn(table: ParsedTable, name: string): string | undefined {
  const plain = (text: string) => text.trim().toLowerCase()
  return table.columns.find((column) => column === name) ?? table.columns.find((column) => plain(column) === plain(name))
}

export const list = (table: ParsedTable) => table.columns.map((name) => `"${name}"`).join(', ')

interface ColumnFacts {
  name: string
  distinct: number
  filled: number
  meanLength: number
}

function describeColumn(table: ParsedTable, name: string): ColumnFacts {
  const cells = table.rows.map(({ values }) => (values[name] as string).trim()).filter((cell) => cell !== '')
  const letters = cells.reduce((sum, cell) => sum + cell.length, 0)
  return { name, distinct: new Set(cells).size, filled: cells.length, meanLength: letters / Math.max(cells.length, 1) }
}

function given(table: ParsedTable, name: string | undefined, role: string): string | undefined {
  if (name === undefined) return undefined
  const column = findColumn(table, name)
  if (column !== undefined) return column
  throw new UserError(`There is no column "${name}" for the ${role}.`, `The file has these columns: ${list(table)}.`)
}

function findLabel(facts: ColumnFacts[], text: string | undefined): string | undefined {
  const others = facts.filter(({ name }) => name !== text)
  const couldBe = others.filter(
    ({ distinct, filled, meanLength }) => distinct <= Math.min(maximumLabels, filled / 2) && meanLength <= longestLabel
  )
  // A column of that name is taken even where it could not be one, so that the message says what is wrong with it.
  const named = byName(couldBe, labelNames) ?? byName(others, labelNames)
  if (named !== undefined) return named
  return couldBe.filter(({ distinct }) => distinct > 1).sort((a, b) => a.distinct - b.distinct)[0]?.name
}

function findText(facts: ColumnFacts[]): string | undefined {
  return byName(facts, textNames) ?? [...facts].sort((a, b) => b.meanLength - a.meanLength)[0]?.name
}

/** The column whose name is the earliest in the list, else one that has such a word in its name: `review_text`, `Label name`, `classId`. */
function byName(facts: ColumnFacts[], names: string): string | undefined {
  const words = names.split(' ')
  const wordsOf = (name: string) =>
    name
      .replace(/([a-z])([A-Z])/g, '$1 $2')
      .toLowerCase()
      .split(/[^\p{L}\p{N}]+/u)
  const exact = words.flatMap((word) => facts.filter(({ name }) => name.toLowerCase() === word))
  const containing = words.flatMap((word) => facts.filter(({ name }) => wordsOf(name).includes(word)))
  return [...exact, ...containing][0]?.name
}

const cannotTell = (table: ParsedTable, role: string) =>
  new UserError(`It is not clear which column holds the ${role}.`, `Name it; the file has these columns: ${list(table)}.`)
