import { describe, expect, it } from 'vitest'
import { askedWith, labPromptOf, promptId, ranked, reduced, standardError, taskKey, writtenOut } from '../../src/state/promptTry'
import type { PromptTry } from '../../src/storage/promptTries'
import { OWN_PROMPT, promptOptions } from '../../src/tasks/handwritten'
import type { ClassificationTask } from '../../src/tasks/task'
import type { RaceRequest, TaskSource } from '../../src/worker/protocol'

const task = {
  kind: 'classification',
  template: 'Review: {text}\nSentiment:',
  labels: [
    { name: 'positive', word: ' good' },
    { name: 'negative', word: ' bad' }
  ]
} as ClassificationTask
const site: TaskSource = { kind: 'site', path: 'tasks/reviews' }
const file: TaskSource = { kind: 'file', name: 'moods.csv', text: 'a,b', options: { textColumn: 'a', seed: 1 } }

const tried = (id: string, f1Macro: number, loss: number, triedAt = 0) => ({ id, score: { f1Macro, loss }, triedAt }) as PromptTry

it('ranks by macro F1, then by loss, then by age', () => {
  const tries = [tried('a', 0.5, 2), tried('b', 0.7, 3), tried('c', 0.5, 1), tried('d', 0.7, 3, 1)]
  expect(ranked(tries).map(({ id }) => id)).toEqual(['b', 'd', 'c', 'a'])
})

it('knows a prompt again, whatever its spaces and the draw of examples that it does not show', () => {
  const prompt = writtenOut(task)
  expect(prompt).toEqual({ ...OWN_PROMPT, template: task.template, words: ['good', 'bad'] })
  expect(promptId({ ...prompt, template: `${task.template} `, words: [' good', 'bad '], seed: 5 })).toBe(promptId(prompt))
  expect(promptId({ ...prompt, examples: 2, seed: 5 })).not.toBe(promptId({ ...prompt, examples: 2, seed: 6 }))
})

it('is the prompt of the task where nothing was changed, so that the race is the one without the lab', () => {
  expect(reduced({ ...writtenOut(task), seed: 9 }, task)).toEqual(OWN_PROMPT)
  expect(reduced({ ...writtenOut(task), words: ['fine', 'bad'] }, task)).toMatchObject({ template: '', words: ['fine', 'bad'] })
})

describe('a prompt of the lab in a race', () => {
  const request = (source: TaskSource, options = {}): RaceRequest =>
    ({ task: source, runs: [{ recipe: { parts: [{ method: 'handwrittenPrompt', options }] } }] }) as RaceRequest

  it('belongs to its task, whatever the seed that splits a file', () => {
    expect(taskKey(askedWith(site, 'x', {}))).toBe(taskKey(site))
    expect(taskKey({ ...file, options: { ...file.options, seed: 2 } })).toBe(taskKey(file))
    expect(taskKey({ ...file, name: 'other.csv' })).not.toBe(taskKey(file))
  })

  it('is found again in the request, in both roles', () => {
    const words = { positive: 'fine', negative: 'bad' }
    expect(labPromptOf(request(site))).toBeUndefined()
    expect(labPromptOf(request(site, promptOptions(OWN_PROMPT)))).toBeUndefined()
    const asked = { task: 'tasks/reviews', role: 'task', template: '{text}?', labelWords: words }
    expect(labPromptOf(request(askedWith(site, '{text}?', words)))).toEqual(asked)
    const options = promptOptions({ ...OWN_PROMPT, examples: 3 })
    expect(labPromptOf(request(site, options))).toEqual({ task: 'tasks/reviews', role: 'baseline', options })
  })
})

it('tells the standard error of a share', () => {
  expect(standardError(0.5, 100)).toBeCloseTo(0.05, 12)
})
