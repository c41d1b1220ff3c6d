import { describe, expect, it } from 'vitest'
import { instructionText, OWN_PROMPT, promptedTask, promptOfOptions, promptOptions } from '../../src/tasks/handwritten'
import type { ClassificationTask, Example } from '../../src/tasks/task'

const task: ClassificationTask = {
  kind: 'classification',
  name: 'moods',
  title: 'Moods',
  domain: 'test',
  template: 'Note: {text}\nMood:',
  labels: [
    { name: 'glad', word: ' glad' },
    { name: 'sad', word: ' sad' },
    { name: 'calm', word: ' calm' }
  ],
  metrics: ['accuracy'],
  licence: 'CC0-1.0'
}
const examples = (split: string, count: number): Example[] =>
  Array.from({ length: count }, (_, i) => ({ fields: { text: `${split} ${i}` }, label: task.labels[i % 3]!.name }))
const data = { task, train: examples('train', 30), validation: examples('validation', 9), test: examples('test', 9) }
const asked = (changes: Partial<typeof OWN_PROMPT>) => promptedTask(data, { ...OWN_PROMPT, ...changes })

describe('promptedTask', () => {
  it('is the task itself where nothing is asked for', () => {
    expect(asked({})).toEqual({ task, shown: [], context: '' })
  })

  it('shows examples of the training split alone, as many of each label, the same for the same seed', () => {
    for (const count of [1, 3, 6, 7]) {
      for (const seed of [1, 2, 3, 4]) {
        const { shown, context } = asked({ examples: count, seed })
        expect(shown).toHaveLength(count)
        expect(new Set(shown).size).toBe(count)
        expect(shown.every((example) => data.train.includes(example))).toBe(true)
        expect(context).not.toMatch(/validation|test/)
        const counts = task.labels.map(({ name }) => shown.filter(({ label }) => label === name).length)
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1)
        expect(asked({ examples: count, seed }).context).toBe(context)
      }
    }
    const draws = [1, 2, 3, 4].map((seed) => asked({ examples: 3, seed }).context)
    expect(new Set(draws).size).toBe(4)
  })

  it('solves the shown examples with the template and the words of the prompt', () => {
    const { shown, context, task: prompted } = asked({ template: 'Q {text} A ', words: ['good', ' bad ', 'so-so'], examples: 2, seed: 5 })
    const word = (example: Example) => ({ glad: ' good', sad: ' bad', calm: ' so-so' })[example.label ?? '']
    expect(context).toBe(shown.map((example) => `Q ${example.fields.text} A${word(example)}\n\n`).join(''))
    expect(prompted.labels.map((label) => label.word)).toEqual([' good', ' bad', ' so-so'])
    expect(prompted.labels.map((label) => label.name)).toEqual(['glad', 'sad', 'calm'])
  })

  it('shows all there are where more are asked for', () => {
    const train = data.train.slice(0, 4)
    expect(promptedTask({ task, train }, { ...OWN_PROMPT, examples: 32 }).shown).toHaveLength(4)
  })

  it.each([
    [{ template: 'No place' }, /no place for the text.*/],
    [{ template: '{text} {mood}' }, /\{mood\}, which the examples do not have/],
    [{ words: ['good', 'bad'] }, /2 label words for 3 labels/],
    [{ words: ['good', 'bad', ' '] }, /word of label "calm" is empty/],
    [{ words: ['good', 'bad', 'good '] }, /same word, "good"/]
  ])('refuses %j', (changes, message) => {
    expect(() => asked(changes)).toThrow(message)
  })
})

describe('promptOptions', () => {
  it('go into the options of a method and come back', () => {
    const prompt = { template: 'Say {text}:', words: ['good', 'not so good', 'calm'], examples: 4, seed: 9 }
    expect(promptOfOptions(promptOptions(prompt))).toEqual({ ...prompt, words: ['good ', ' not so good ', ' calm'] })
    expect(asked({ words: promptOfOptions(promptOptions(prompt))!.words }).task.labels[1]!.word).toBe(' not so good')
  })

  it('are none for the prompt of the task, so that a race without them is as it was', () => {
    expect(promptOfOptions(promptOptions(OWN_PROMPT))).toBeUndefined()
    expect(promptOfOptions({})).toBeUndefined()
  })
})

it('the instruction of a template is what stands around its fields', () => {
  expect(instructionText('Review: {text}\nSentiment, good or bad:')).toBe('Review: Sentiment, good or bad:')
})
