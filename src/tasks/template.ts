// Templates: text with `{field}` places, and what they make of an example.
import { UserError } from '../engine/errors'
import type { Example, Task } from './task'

/** A stretch of a template: text as it is, or the name of the field that goes there. */
export type TemplatePart = { text: string } | { field: string }

/** A template's parts in order. A field's name is anything between braces but a brace; there is no way to escape one. */
export function templateParts(template: string): TemplatePart[] {
  // Split by a pattern with a group, which puts the names of the fields at the odd places.
  const parts = template.split(/\{([^{}]+)\}/).map((part, i): TemplatePart => (i % 2 ? { field: part } : { text: part }))
  return parts.filter((part) => 'field' in part || part.text !== '')
}

/** The fields that a template needs, each once, in order. */
export function templateFields(template: string): string[] {
  return [...new Set(templateParts(template).flatMap((part) => ('field' in part ? [part.field] : [])))]
}

/**
 * The template with its fields filled in, once: braces inside a field's text stay as they are.
 * @throws UserError naming a field that the example does not have
 */
export function renderTemplate(template: string, fields: Readonly<Record<string, string>>): string {
  return templateParts(template)
    .map((part) => {
      if ('text' in part) return part.text
      if (Object.hasOwn(fields, part.field)) return fields[part.field] as string
      throw new UserError(
        `The template asks for {${part.field}}, which the examples do not have.`,
        `Use one of these fields: ${
          Object.keys(fields)
            .map((name) => `{${name}}`)
            .join(', ') || 'there are none'
        }.`
      )
    })
    .join('')
}

/** What the model reads: ends where the answer begins. */
export function renderPrompt(task: Task, example: Example): string {
  return renderTemplate(task.template, example.fields)
}

/**
 * What the model should write behind the prompt: the label's word, or the target.
 * @throws UserError where the example has no label of the task
 */
export function renderAnswer(task: Task, example: Example): string {
  if (task.kind === 'generation') return renderTemplate(task.target, example.fields)
  return (task.labels[labelIndex(task, example)] as { word: string }).word
}

/**
 * Where an example's label stands in `task.labels`.
 * @throws UserError where it has none of them
 */
export function labelIndex(task: Extract<Task, { kind: 'classification' }>, example: Example): number {
  const index = task.labels.findIndex((label) => label.name === example.label)
  if (index >= 0) return index
  throw new UserError(
    example.label === undefined
      ? 'An example has no label.'
      : `An example is labelled "${example.label}", which is not a label of the task.`,
    `The task's labels are: ${task.labels.map((label) => label.name).join(', ')}.`
  )
}
