// Loads a task: from a folder of the site or from a file of the user's, with what the page shows of it.
import { fileTask } from '../tasks/fileTask'
import { OWN_PROMPT, promptedTask } from '../tasks/handwritten'
import { siteTask } from '../tasks/siteTask'
import type { TaskData } from '../tasks/task'
import { renderAnswer, renderTemplate, templateFields } from '../tasks/template'
import type { TaskReport, TaskSource } from './protocol'
import { fetchOptionalText, fetchText } from './siteFiles'

export interface LoadedTask {
  report: TaskReport
  data: TaskData
}

const SAMPLES = 5
const GENERAL_PROSE = 'tasks/general/text.jsonl'

async function readTask(source: TaskSource, siteRoot: string): Promise<{ id: string; data: TaskData; notes: string[] }> {
  if (source.kind === 'file') return { id: source.name, ...fileTask(source.name, source.text, source.options) }
  const at = (file: string): string => new URL(`${source.path}/${file}`, siteRoot).href
  const [task, train, validation, test, card] = await Promise.all([
    fetchText(at('task.json')),
    fetchText(at('train.jsonl')),
    fetchText(at('validation.jsonl')),
    fetchText(at('test.jsonl')),
    fetchOptionalText(at('README.md'))
  ])
  const id = source.path.split('/').at(-1) ?? source.path
  const data = siteTask({ task, train, validation, test, card })
  return { id, data: asAsked(data, source), notes: [] }
}

/** The task with the template and the label words that its source names. */
function asAsked(data: TaskData, { template = '', labelWords }: { template?: string; labelWords?: Record<string, string> }): TaskData {
  if (template === '' && !labelWords) return data
  const labels = data.task.kind === 'classification' ? data.task.labels : []
  const words = labelWords ? labels.map(({ name, word }) => labelWords[name] ?? word) : []
  return { ...data, task: promptedTask(data, { ...OWN_PROMPT, template, words }).task }
}

/** Reads and checks a task. Throws a `UserError` that names the file and what is wrong in it. */
export async function loadTask(source: TaskSource, siteRoot: string): Promise<LoadedTask> {
  const { id, data, notes } = await readTask(source, siteRoot)
  const { task, train, validation, test, card } = data
  const samples = train.slice(0, SAMPLES).map((example) => ({
    text: renderTemplate(task.template, example.fields),
    label: example.label ?? renderAnswer(task, example).trim()
  }))
  const fields = templateFields(task.template)
  const unseen = validation
    .slice(0, SAMPLES)
    .map((example) => Object.fromEntries(fields.map((field) => [field, example.fields[field] ?? ''])))
  const counts = { train: train.length, validation: validation.length, test: test.length }
  return { data, report: { id, source, task, counts, samples, unseen, card, notes } }
}

/** Held-out prose of the site, on which forgetting is measured. */
export async function loadGeneralTexts(siteRoot: string): Promise<string[]> {
  const lines = (await fetchText(new URL(GENERAL_PROSE, siteRoot).href)).split('\n').filter((line) => line.trim() !== '')
  return lines.map((line) => (JSON.parse(line) as { text: string }).text)
}
