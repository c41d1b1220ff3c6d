// Which runs have virtual tokens, how they are named where many stand side by side, and how their tokens are written.
import type { LibraryEntry } from '../storage/library'

/** Methods that put virtual tokens in front of the text. */
const PROMPT_METHODS = ['softPrompt', 'pTuning']

/** More than these in one picture could not be told apart. */
export const MAXIMUM_PEERS = 12

export const hasVirtualTokens = (methods: readonly string[]): boolean => methods.some((method) => PROMPT_METHODS.includes(method))

/** The run and the newest others of its model, sorted by task, so that those of one task stand together. */
export function peersOf(runs: readonly LibraryEntry[], run: LibraryEntry): LibraryEntry[] {
  const others = runs.filter((entry) => entry.model === run.model && entry.id !== run.id).slice(0, MAXIMUM_PEERS - 1)
  return [run, ...others].sort((a, b) => a.task.localeCompare(b.task) || a.createdAt - b.createdAt || a.name.localeCompare(b.name))
}

/** Runs of the same model and task that tune a soft prompt and nothing else, so that they can be asked together; the run itself first. */
export function ensembleOf(runs: readonly LibraryEntry[], run: LibraryEntry): LibraryEntry[] {
  const isMember = ({ model, task, methods }: LibraryEntry): boolean =>
    model === run.model && task === run.task && methods.length === 1 && hasVirtualTokens(methods)
  return isMember(run) ? [run, ...runs.filter((entry) => entry.id !== run.id && isMember(entry))] : []
}

/** "Soft prompt, reviews, 0.613": enough to tell runs apart in a list. */
export function runTitle({ name, task, summary }: LibraryEntry): string {
  return [name, task, ...(summary?.testAccuracy === undefined ? [] : [summary.testAccuracy.toFixed(3)])].join(', ')
}

/** A token as it can be seen: its leading space and its line breaks shown, an empty one named. */
export function visibleToken(text: string): string {
  return text.replace(/^ /, '␣').replaceAll('\n', '⏎').replaceAll('\t', '⇥') || '(empty)'
}
