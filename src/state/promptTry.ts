// What the prompt lab computes from its prompts and tries, without a page: their identity, their rank and their way into the set-up.
import type { OptionValues } from '../engine/methods/method'
import type { PromptTry } from '../storage/promptTries'
import { OWN_PROMPT, promptOfOptions, type HandwrittenPrompt } from '../tasks/handwritten'
import type { ClassificationTask } from '../tasks/task'
import type { RaceRequest, TaskSource } from '../worker/protocol'

/** A prompt of the lab in the set-up: what every run is asked with, or the baseline alone. It counts for one task. */
export type LabPrompt = { task: string } & (
  { role: 'task'; template: string; labelWords: Record<string, string> } | { role: 'baseline'; options: OptionValues }
)

/** The prompt of the lab that a race was asked with; undefined where it was the task's own. */
export function labPromptOf({ task, runs }: RaceRequest): LabPrompt | undefined {
  const key = taskKey(task)
  if (task.kind === 'site' && task.template !== undefined) {
    return { task: key, role: 'task', template: task.template, labelWords: task.labelWords ?? {} }
  }
  const baseline = runs.flatMap(({ recipe }) => recipe.parts).find(({ method }) => method === 'handwrittenPrompt')
  return baseline && promptOfOptions(baseline.options) ? { task: key, role: 'baseline', options: baseline.options } : undefined
}

/** A task's identity, whatever its seed: under it the lab keeps its tries, and the set-up a prompt. */
export function taskKey(source: TaskSource): string {
  if (source.kind === 'site') return source.path
  const { name, text, options } = source
  return JSON.stringify([name, text.length, options.textColumn, options.labelColumn])
}

/** The same task asked with another template and other label words; solved examples are not part of a task. */
export function askedWith(source: TaskSource, template: string, labelWords: Record<string, string>): TaskSource {
  if (source.kind === 'site') return { ...source, template, labelWords }
  return { ...source, options: { ...source.options, template, labelWords } }
}

/** The prompt that the editor begins with: the task's own, written out. */
export function writtenOut({ template, labels }: ClassificationTask): HandwrittenPrompt {
  return { ...OWN_PROMPT, template, words: labels.map(({ word }) => word.trim()) }
}

/** The prompt without what is the task's own anyway, so that the same prompt is the same options. */
export function reduced(
  { template, words, examples, seed }: HandwrittenPrompt,
  { template: own, labels }: ClassificationTask
): HandwrittenPrompt {
  const ownWords = words.every((word, i) => word.trim() === labels[i]?.word.trim())
  return {
    template: template === own ? '' : template,
    words: ownWords ? [] : words,
    examples,
    seed: examples === 0 ? OWN_PROMPT.seed : seed
  }
}

/** The same for prompts that ask the same: the seed counts only where examples are drawn by it. */
export function promptId({ template, words, examples, seed }: HandwrittenPrompt): string {
  return JSON.stringify([template.replace(/ +$/, ''), words.map((word) => word.trim()), examples, ...(examples > 0 ? [seed] : [])])
}

/** The highest macro F1 first; of equals the lower loss, then the earlier try. */
export function ranked(tries: readonly PromptTry[]): PromptTry[] {
  return [...tries].sort((a, b) => b.score.f1Macro - a.score.f1Macro || a.score.loss - b.score.loss || a.triedAt - b.triedAt)
}

/** One standard error of a share measured on so many examples: differences below it are chance. */
export function standardError(share: number, examples: number): number {
  return Math.sqrt((share * (1 - share)) / Math.max(1, examples))
}

/** The prompt as text for the clipboard. */
export function promptText({ template, words, examples, seed }: HandwrittenPrompt): string {
  const shown = examples > 0 ? `\nExamples in context: ${examples} (draw ${seed})` : ''
  return `${template}\n\nLabel words: ${words.join(' | ')}${shown}`
}
