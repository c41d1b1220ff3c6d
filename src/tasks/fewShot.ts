// A few training examples of many, drawn by seed, with the labels balanced.
import { UserError } from '../engine/errors'
import { Random } from '../engine/random'
import type { Example, TaskData } from './task'

/**
 * `count` of the examples: as many of each label as there are, or nearly, where a label has enough. More drawn with the same seed are the same and others
 * besides. All of them, in their order, where there are no more than `count`.
 * @throws UserError where `count` is not a whole number from 1
 */
export function fewExamples(examples: readonly Example[], count: number, seed: number): Example[] {
  if (!(Number.isInteger(count) && count > 0)) {
    throw new UserError(`A run cannot be trained on ${count} examples.`, 'Give a whole number from 1.')
  }
  if (examples.length <= count) return [...examples]
  const random = new Random(seed)
  const byLabel = new Map<string | undefined, Example[]>()
  for (const example of random.shuffle(examples)) {
    const group = byLabel.get(example.label)
    if (group) group.push(example)
    else byLabel.set(example.label, [example])
  }
  // Dealt by turns, so that no label is ahead by more than one while it lasts; by name, so that the draw does not depend on who came first.
  const groups = [...byLabel.entries()].sort(([a = ''], [b = '']) => (a < b ? -1 : 1)).map(([, group]) => group)
  const drawn: Example[] = []
  for (let turn = 0; drawn.length < count; turn++) {
    for (const group of groups) {
      const next = group[turn]
      if (next && drawn.length < count) drawn.push(next)
    }
  }
  return drawn
}

/** The task with `count` of its training examples, or all of them where `count` is undefined. Throws as `fewExamples`. */
export function fewShotTask(task: TaskData, count: number | undefined, seed: number): TaskData {
  return count === undefined ? task : { ...task, train: fewExamples(task.train, count, seed) }
}
