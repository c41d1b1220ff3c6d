// What a task is: labelled examples, the template that turns one into a prompt, and the words that stand for its labels.

export interface TaskLabel {
  name: string
  /** The answer as the model writes it, with its leading space: `" positive"`. */
  word: string
}

/** One row of a data set: the template's fields, and for classification its label's name. */
export interface Example {
  fields: Record<string, string>
  label?: string
}

interface TaskBase {
  name: string
  title: string
  domain: string
  /** Text with `{field}` places, ending where the answer begins: `"Review: {text}\nSentiment:"`. */
  template: string
  metrics: string[]
  licence: string
}

export interface ClassificationTask extends TaskBase {
  kind: 'classification'
  labels: TaskLabel[]
}

export interface GenerationTask extends TaskBase {
  kind: 'generation'
  /** The wanted continuation, with its leading space: `" {answer}"`. */
  target: string
}

export type Task = ClassificationTask | GenerationTask

export interface TaskData {
  task: Task
  train: Example[]
  validation: Example[]
  test: Example[]
  /** The data card (README.md), where there is one. */
  card?: string
}

/** Labels that a task chooses among; 0 where it asks for a written answer. */
export const labelCount = (task: Task): number => (task.kind === 'classification' ? task.labels.length : 0)
