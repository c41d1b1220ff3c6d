// What a start gains, runs with several seeds, and training on few examples.
import { expect, test } from 'vitest'
import { defaultRecipe } from '../../src/engine/training/defaultRecipe'
import { groupedBySeed, nameWithoutSeed, spreadOf, withSeeds } from '../../src/engine/training/seeds'
import { startGain, stepsToReach } from '../../src/engine/training/startGain'
import { fewExamples } from '../../src/tasks/fewShot'
import type { Example } from '../../src/tasks/task'

const curve = (...losses: number[]) => ({
  validation: losses.map((loss, i) => ({ step: 20 * i, seconds: i, loss, accuracy: 0.5, f1Macro: 0.5 }))
})

test('steps to a loss lie between two validations by how far each is from it', () => {
  expect(stepsToReach(curve(4, 2, 1), 3)).toBe(10)
  expect(stepsToReach(curve(4, 2, 1), 1.25)).toBe(35)
  expect(stepsToReach(curve(4, 2, 1), 5)).toBe(0)
  expect(stepsToReach(curve(4, 2, 1), 0.5)).toBeUndefined()
  expect(stepsToReach(curve(4, 2, 5, 1), 2)).toBe(20)
})

test('a start gains the steps that it takes less to the best loss of the reference', () => {
  expect(startGain(curve(8, 4, 2, 3), curve(3, 1, 1, 1))).toEqual({ loss: 2, steps: { reference: 40, start: 10 } })
  expect(startGain(curve(8, 2), curve(9, 9)).steps.start).toBeUndefined()
})

const trains = ({ parts }: { parts: { method: string }[] }) => parts[0]!.method !== 'handwrittenPrompt'
const run = (method: string, seed: number) => ({ id: method, name: method, recipe: defaultRecipe(method, seed) })

test('runs are repeated with the seeds that follow, and what trains nothing is not', () => {
  let id = 0
  const runs = withSeeds([run('handwrittenPrompt', 7), run('lora', 7)], 3, () => `new-${id++}`, trains)
  expect(runs.map(({ id, name, recipe }) => [id, name, recipe.seed])).toEqual([
    ['handwrittenPrompt', 'handwrittenPrompt', 7],
    ['lora', 'lora (seed 7)', 7],
    ['new-0', 'lora (seed 8)', 8],
    ['new-1', 'lora (seed 9)', 9]
  ])
  expect(withSeeds([run('lora', 7)], 1, () => '', trains)).toEqual([run('lora', 7)])
  const groups = groupedBySeed([...runs, run('softPrompt', 8)], ({ recipe }) => recipe)
  expect(groups.map((group) => group.map(({ name }) => nameWithoutSeed(name)))).toEqual([
    ['handwrittenPrompt'],
    ['lora', 'lora', 'lora'],
    ['softPrompt']
  ])
})

test('mean and sample standard deviation', () => {
  expect(spreadOf([2, 4, 9])).toEqual({ mean: 5, deviation: Math.sqrt(13), count: 3 })
  expect(spreadOf([3])).toEqual({ mean: 3, deviation: 0, count: 1 })
})

const examples: Example[] = Array.from({ length: 60 }, (_, i) => ({
  fields: { text: `${i}` },
  label: ['a', 'a', 'a', 'b', 'b', 'c'][i % 6]!
}))
const labelsOf = (drawn: Example[]) =>
  Object.fromEntries(['a', 'b', 'c'].map((name) => [name, drawn.filter(({ label }) => label === name).length]))

test('few examples are balanced over the labels, while a label lasts', () => {
  expect(labelsOf(fewExamples(examples, 9, 1))).toEqual({ a: 3, b: 3, c: 3 })
  const most = fewExamples(examples, 40, 1)
  expect(most).toHaveLength(40)
  expect(labelsOf(most)).toEqual({ a: 15, b: 15, c: 10 })
  expect(new Set(most).size).toBe(40)
})

test('few examples repeat by seed, and more are the same and others', () => {
  const six = fewExamples(examples, 6, 4)
  expect(fewExamples(examples, 6, 4)).toEqual(six)
  expect(fewExamples(examples, 6, 5)).not.toEqual(six)
  expect(fewExamples(examples, 12, 4).slice(0, 6)).toEqual(six)
  expect(fewExamples(examples, 60, 4)).toEqual(examples)
  expect(() => fewExamples(examples, 0, 1)).toThrow('cannot be trained on 0 examples')
})
