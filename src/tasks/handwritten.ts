// A prompt of a person's own for a task: its template, its label words, and solved examples in front of every question.
import { UserError } from '../engine/errors'
import type { OptionValues } from '../engine/methods/method'
import { Random } from '../engine/random'
import type { ClassificationTask, Example, TaskData } from './task'
import { renderTemplate, templateFields } from './template'

export interface HandwrittenPrompt {
  /** Ends where the answer begins; empty is the task's own. */
  template: string
  /** In the order of the task's labels; empty is the task's own. A word without a space in front gets one. */
  words: string[]
  /** Solved examples in front of every question (Brown et al. 2020), from 0. */
  examples: number
  /** Decides which of the training examples these are, and their order. */
  seed: number
}

/** A task as a hand-written prompt asks it. */
export interface PromptedTask {
  task: ClassificationTask
  /** Of the training split, in the order in which they are shown. */
  shown: Example[]
  /** The shown examples with their answers, ending where the question begins; empty where there are none. */
  context: string
}

/** The most solved examples that a prompt may show. */
export const MAXIMUM_SHOWN = 32

/** Between two label words where they stand in one line: "good | bad". */
const WORD_SEPARATOR = '|'

const SHOWN_SEPARATOR = '\n\n'

/** The task's own prompt, without examples. */
export const OWN_PROMPT: Readonly<HandwrittenPrompt> = { template: '', words: [], examples: 0, seed: 1 }

/** The prompt as options of the method `handwrittenPrompt`. */
export function promptOptions({ template, words, examples, seed }: HandwrittenPrompt): OptionValues {
  return { template, labelWords: words.map((word) => word.trim()).join(` ${WORD_SEPARATOR} `), examples, examplesSeed: seed }
}

/** The prompt that options of the method `handwrittenPrompt` ask for; undefined where it is the task's own. */
export function promptOfOptions({
  template = '',
  labelWords = '',
  examples = 0,
  examplesSeed = 1
}: OptionValues): HandwrittenPrompt | undefined {
  if (template === '' && labelWords === '' && examples === 0) return undefined
  const words = String(labelWords).trim() === '' ? [] : String(labelWords).split(WORD_SEPARATOR)
  return { template: String(template), words, examples: Number(examples), seed: Number(examplesSeed) }
}

/**
 * The task asked by that prompt. Examples come from the training split alone, as many of each label as of every other (but for a remainder).
 * @throws UserError where the task asks for a written answer, or the template or a word cannot be used
 */
export function promptedTask({ task, train }: Pick<TaskData, 'task' | 'train'>, prompt: HandwrittenPrompt): PromptedTask {
  if (task.kind !== 'classification') {
    throw new UserError(`"${task.title}" asks for a written answer, and has no label words.`, 'Choose a task with labels.')
  }
  const template = prompt.template === '' ? task.template : checkedTemplate(prompt.template, train)
  const labels = prompt.words.length === 0 ? task.labels : withWords(task.labels, prompt.words)
  const prompted = { ...task, template, labels }
  const shown = balancedSample(prompted, train, prompt.examples, prompt.seed)
  const context = shown.map(({ fields, label }) => {
    const word = labels.find(({ name }) => name === label)?.word ?? ''
    return renderTemplate(template, fields) + word + SHOWN_SEPARATOR
  })
  return { task: prompted, shown, context: context.join('') }
}

/** The template's own words, without the places of its fields: what a soft prompt may start from. */
export function instructionText(template: string): string {
  return template
    .replace(/\{[^{}]+\}/g, ' ')
    .replace(/\s+/g, ' ')
    .trim()
}

function checkedTemplate(template: string, train: readonly Example[]): string {
  const known = Object.keys(train[0]?.fields ?? {})
  const places = list(known.map((field) => `{${field}}`))
  const fields = templateFields(template)
  if (fields.length === 0) throw new UserError('The template has no place for the text.', `Put a field into braces: ${places}.`)
  const strange = fields.find((field) => !known.includes(field))
  if (strange !== undefined)
    throw new UserError(`The template asks for {${strange}}, which the examples do not have.`, `Use these: ${places}.`)
  // Spaces at the end go: the label's word brings its own.
  return template.replace(/ +$/, '')
}

function withWords(labels: ClassificationTask['labels'], words: readonly string[]): ClassificationTask['labels'] {
  if (words.length !== labels.length) {
    throw new UserError(
      `There are ${words.length} label words for ${labels.length} labels.`,
      `Give one for each: ${list(labels.map(({ name }) => name))}.`
    )
  }
  const spaced = labels.map(({ name }, i) => ({ name, word: asWord(name, words[i] as string) }))
  const twin = spaced.find(({ word }, i) => spaced.findIndex((label) => label.word === word) !== i)
  if (twin) {
    throw new UserError(
      `Two labels have the same word, "${twin.word.trim()}".`,
      'Give each label its own word: the model answers with words.'
    )
  }
  return spaced
}

function asWord(name: string, word: string): string {
  if (word.trim() === '')
    throw new UserError(`The word of label "${name}" is empty.`, 'Give each label a word: the model answers with words.')
  return ` ${word.trim()}`
}

/** `count` examples dealt out label by label, then shuffled, so that no label is always the last that the model reads. */
function balancedSample({ labels }: ClassificationTask, train: readonly Example[], count: number, seed: number): Example[] {
  const random = new Random(seed)
  const byLabel = labels.map(({ name }) => random.shuffle(train.filter(({ label }) => label === name)))
  // Labels take turns in a random order, so that a remainder does not always go to the first ones.
  const turns = random.shuffle(byLabel)
  const sample: Example[] = []
  for (let round = 0; sample.length < count && turns.some((examples) => round < examples.length); round++) {
    for (const examples of turns) {
      const example = examples[round]
      if (example && sample.length < count) sample.push(example)
    }
  }
  return random.shuffle(sample)
}

const list = (names: readonly string[]): string => names.join(', ') || 'there are none'
