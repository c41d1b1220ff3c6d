// Reads a task folder: task.json and one JSON Lines file for each split.
import * as v from 'valibot'
import { UserError } from '../engine/errors'
import { parseTable } from './parse'
import type { Example, Task, TaskData } from './task'
import { templateFields } from './template'

/** The files of a folder as text. */
export interface TaskFiles {
  /** task.json */
  task: string
  /** train.jsonl */
  train: string
  validation: string
  test: string
  /** README.md */
  card?: string
}

type SplitName = 'train' | 'validation' | 'test'

const text = v.pipe(v.string(), v.nonEmpty())

const template = v.pipe(
  text,
  v.check((value) => templateFields(value).length > 0, 'needs a {field}')
)

const common = {
  name: text,
  title: text,
  domain: text,
  template,
  metrics: v.array(text),
  licence: text,
  splits: v.optional(v.object({ train: v.number(), validation: v.number(), test: v.number() }))
}

const label = v.object({ name: text, word: text })

const distinct = (key: keyof v.InferOutput<typeof label>) =>
  v.check(
    (labels: v.InferOutput<typeof label>[]) => new Set(labels.map((one) => one[key])).size === labels.length,
    `have the same ${key} twice`
  )

const taskSchema = v.variant('kind', [
  v.object({
    ...common,
    kind: v.literal('classification'),
    labels: v.pipe(v.array(label), v.minLength(2), distinct('name'), distinct('word'))
  }),
  v.object({ ...common, kind: v.literal('generation'), target: template })
])

/**
 * A task of the site, or of a folder in the same layout. Fields of an example are all its texts but the label.
 * @throws UserError naming the file, and the line or the entry that is wrong
 */
export function siteTask(files: TaskFiles): TaskData {
  const { splits, ...task } = readTaskJson(files.task)
  const read = (name: SplitName) => {
    const examples = readSplit(task, name, files[name])
    if (splits && splits[name] !== examples.length) {
      throw new UserError(
        `${name}.jsonl has ${examples.length} examples, and task.json says ${splits[name]}.`,
        'The files do not belong together, or one is cut: fetch them again.'
      )
    }
    return examples
  }
  return { task, train: read('train'), validation: read('validation'), test: read('test'), ...(files.card ? { card: files.card } : {}) }
}

function readTaskJson(json: string) {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    throw new UserError('task.json is not valid JSON.', 'Check its quotation marks, commas and brackets.')
  }
  const result = v.safeParse(taskSchema, value)
  if (result.success) return result.output
  const [issue] = result.issues
  throw new UserError(
    `task.json is not a task: ${v.getDotPath(issue) ?? 'the whole'}: ${issue.message}.`,
    'Compare it with a task that works.'
  )
}

function readSplit(task: Task, name: SplitName, content: string): Example[] {
  const needed = [...templateFields(task.template), ...(task.kind === 'generation' ? templateFields(task.target) : [])]
  const inLine = (line: number, what: string) => new UserError(`${name}.jsonl, line ${line}: ${what}.`, 'Mend the line, or leave it out.')
  return parseTable(`${name}.jsonl`, content).rows.map(({ values, line }) => {
    const missing = needed.find((field) => !values[field])
    if (missing !== undefined) throw inLine(line, `"${missing}" is missing or empty`)
    if (task.kind === 'generation') return { fields: values }
    const { label: found = '', ...fields } = values
    if (!task.labels.some((one) => one.name === found)) throw inLine(line, `"${found}" is not a label of the task`)
    return { fields, label: found }
  })
}
