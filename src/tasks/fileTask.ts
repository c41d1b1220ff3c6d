// Makes a classification task of a person's own file: columns, labels, template and splits are found where they are not given.
import { UserError } from '../engine/errors'
import { findColumn, findColumns, list, maximumLabels, type Columns } from './columns'
import { parseTable, type ParsedRow, type ParsedTable } from './parse'
import { stratifiedSplit } from './split'
import type { ClassificationTask, Example, TaskData, TaskLabel } from './task'
import { templateFields } from './template'

/** What is not given is found: the columns by name and content, the labels in the data, the template from the columns. */
export interface FileTaskOptions {
  textColumn?: string
  labelColumn?: string
  template?: string
  /** Label name to the word that stands for it. */
  labelWords?: Record<string, string>
  /** Of the 60/15/25 split. */
  seed: number
}

type LabelledExample = Required<Example>

/** Fewer rows than these cannot be split in three and still measure anything. */
const fewestRows = 20

/**
 * @param name the file's name, which names the task and tells the format
 * @returns the task with its examples split 60/15/25 by seed, stratified by label, and notes on rows left out
 * @throws UserError where the file, its columns, its labels or the options do not make a task
 */
export function fileTask(name: string, text: string, options: FileTaskOptions): { data: TaskData; notes: string[] } {
  const table = parseTable(name, text)
  const columns = findColumns(table, { text: options.textColumn, label: options.labelColumn })
  const template = makeTemplate(table, columns, options.template)
  const { examples, notes } = readExamples(table, columns, templateFields(template))
  if (examples.length < fewestRows) {
    throw new UserError(`The file has ${examples.length} rows that can be used.`, `Give it at least ${fewestRows}, some for each label.`)
  }
  const labels = makeLabels(examples, columns.label, options.labelWords ?? {})
  const title = name.replace(/^.*[\\/]/, '').replace(/\.[^.]+$/, '') || name
  const task: ClassificationTask = {
    kind: 'classification',
    name: title,
    title,
    domain: 'your own data',
    template,
    labels,
    metrics: ['accuracy', 'f1_macro', 'auc_roc'],
    licence: 'as your file'
  }
  const split = stratifiedSplit(examples, (example) => example.label, options.seed)
  if (split.validation.length === 0) {
    throw new UserError('No label has the four rows that it takes to train, to validate and to test.', 'Add rows, or use fewer labels.')
  }
  return { data: { task, ...split }, notes: [...table.notes, ...notes, ...rareLabels(labels, examples)] }
}

function makeTemplate(table: ParsedTable, columns: Columns, wanted: string | undefined): string {
  if (wanted === undefined) {
    if (/[{}]/.test(columns.text))
      throw new UserError(`The column "${columns.text}" has braces in its name.`, 'Rename it: templates put names into braces.')
    return `${heading(columns.text, 'Text')}: {${columns.text}}\n${heading(columns.label, 'Label')}:`
  }
  const fields = templateFields(wanted)
  if (fields.length === 0) throw new UserError('The template has no place for the text.', `Put a column into braces: {${columns.text}}.`)
  // `{text}` is the text's column, whatever its name. Spaces at the end go: the label's word brings its own.
  return fields.reduce(
    (template, field) => {
      const column = findColumn(table, field) ?? (field === 'text' ? columns.text : undefined)
      if (column === undefined)
        throw new UserError(`The template asks for {${field}}, which is no column.`, `The file has these columns: ${list(table)}.`)
      if (column === columns.label)
        throw new UserError(`The template shows the label itself: {${field}}.`, 'Leave the label out: the model is to find it.')
      return template.replaceAll(`{${field}}`, `{${column}}`)
    },
    wanted.replace(/ +$/, '')
  )
}

/** A column's name as a person would write it: `review_text` is "Review text". */
function heading(column: string, otherwise: string): string {
  if (/^column \d+$/.test(column)) return otherwise
  const words = column.replace(/([a-z])([A-Z])/g, '$1 $2').replace(/[_\s]+/g, ' ')
  return words.charAt(0).toUpperCase() + words.slice(1).toLowerCase()
}

function readExamples(table: ParsedTable, columns: Columns, fields: string[]): { examples: LabelledExample[]; notes: string[] } {
  const seen = new Set<string>()
  const left: Record<'text' | 'label' | 'again', ParsedRow[]> = { text: [], label: [], again: [] }
  const examples: LabelledExample[] = []
  for (const row of table.rows) {
    const label = (row.values[columns.label] as string).trim()
    const values = Object.fromEntries(fields.map((field) => [field, (row.values[field] as string).trim()]))
    const key = JSON.stringify([label, values])
    if (label === '') left.label.push(row)
    else if (Object.values(values).every((value) => value === '')) left.text.push(row)
    // The same row in two sets would be a test of memory.
    else if (seen.has(key)) left.again.push(row)
    else examples.push({ fields: values, label })
    seen.add(key)
  }
  const notes = [note(left.label, 'without a label'), note(left.text, 'without a text'), note(left.again, 'already seen')]
  return { examples, notes: notes.flat() }
}

function note(rows: ParsedRow[], what: string): string[] {
  if (rows.length === 0) return []
  const lines = rows.slice(0, 5).map(({ line }) => line)
  const where = `line${rows.length > 1 ? 's' : ''} ${lines.join(', ')}${rows.length > lines.length ? ', ...' : ''}`
  return [`${rows.length} ${rows.length > 1 ? 'rows' : 'row'} ${what}, left out: ${where}.`]
}

function makeLabels(examples: LabelledExample[], column: string, words: Record<string, string>): TaskLabel[] {
  const order = new Intl.Collator('en', { numeric: true })
  const names = [...new Set(examples.map(({ label }) => label))].sort((a, b) => order.compare(a, b) || (a < b ? -1 : 1))
  if (names.length < 2) {
    const found = names[0] === undefined ? 'no label at all' : `only one label, "${names[0]}"`
    throw new UserError(
      `The column "${column}" has ${found}.`,
      'Choose the column that tells the rows apart: it takes at least two labels.'
    )
  }
  if (names.length > maximumLabels) {
    throw new UserError(
      `The column "${column}" has ${names.length} different labels, and ${maximumLabels} are allowed.`,
      'Choose the column that holds the label, or join labels into fewer.'
    )
  }
  const unknown = Object.keys(words).find((name) => !names.includes(name))
  if (unknown !== undefined)
    throw new UserError(`There is no label "${unknown}" to give a word to.`, `The labels are: ${names.join(', ')}.`)
  const labels = names.map((name) => ({ name, word: asWord(Object.hasOwn(words, name) ? (words[name] as string) : name) }))
  const twin = labels.find(({ word }, i) => labels.findIndex((label) => label.word === word) !== i)
  if (twin)
    throw new UserError(
      `Two labels have the same word, "${twin.word.trim()}".`,
      'Give each label its own word: the model answers with words.'
    )
  return labels
}

/** With the space that parts it from the prompt. */
function asWord(word: string): string {
  if (word.trim() === '') throw new UserError('A label has an empty word.', 'Give each label a word: the model answers with words.')
  return /^\s/.test(word) ? word : ` ${word}`
}

function rareLabels(labels: TaskLabel[], examples: LabelledExample[]): string[] {
  const rare = labels.filter(({ name }) => examples.filter(({ label }) => label === name).length < 4).map(({ name }) => `"${name}"`)
  return rare.length > 0 ? [`Too few rows to be in every set: ${rare.join(', ')}.`] : []
}
