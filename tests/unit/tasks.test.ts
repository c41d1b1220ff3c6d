import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { UserError } from '../../src/engine/errors'
import { siteTask, type TaskFiles } from '../../src/tasks/siteTask'
import { renderAnswer, renderPrompt, renderTemplate, templateFields } from '../../src/tasks/template'

const folder = 'public/tasks'
const names = readdirSync(folder).filter((name) => name !== 'general')

function files(name: string): TaskFiles {
  const read = (file: string) => readFileSync(`${folder}/${name}/${file}`, 'utf8')
  return {
    task: read('task.json'),
    train: read('train.jsonl'),
    validation: read('validation.jsonl'),
    test: read('test.jsonl'),
    card: read('README.md')
  }
}

describe('the tasks of the site', () => {
  it('are seven', () => expect(names).toEqual(['headlines', 'questions', 'reviews', 'slogans', 'subjects', 'support', 'symptoms']))

  it.each(names)('%s has as many examples as it says, each with a prompt and an answer', (name) => {
    const { task, train, validation, test, card } = siteTask(files(name))
    const { splits } = JSON.parse(files(name).task) as { splits: object }
    expect({ train: train.length, validation: validation.length, test: test.length }).toEqual(splits)
    expect(task.name).toBe(name)
    expect(card).toContain('CC0')
    for (const example of [...train, ...validation, ...test]) {
      expect(renderPrompt(task, example)).toMatch(/\S:$/)
      expect(renderAnswer(task, example)).toMatch(/^ \S/)
    }
  })

  it('read as their cards show them', () => {
    const { task, train } = siteTask(files('reviews'))
    expect(renderPrompt(task, train[1]!)).toBe(
      'Review: The optician got my prescription wrong twice and then tried to sell me a second pair.\nSentiment:'
    )
    expect(renderAnswer(task, train[1]!)).toBe(' negative')
    const questions = siteTask(files('questions'))
    expect(renderAnswer(questions.task, questions.train[1]!)).toBe(' General')
    expect(questions.train[0]!.label).toBeUndefined()
  })
})

describe('a task folder that is wrong is refused in words', () => {
  const reviews = files('reviews')
  const changed = (change: (task: Record<string, unknown>) => void): TaskFiles => {
    const task = JSON.parse(reviews.task) as Record<string, unknown>
    change(task)
    return { ...reviews, task: JSON.stringify(task) }
  }
  const cases: [string, TaskFiles, RegExp][] = [
    ['task.json is no JSON', { ...reviews, task: '{' }, /task.json is not valid JSON/],
    ['task.json is a list', { ...reviews, task: '[]' }, /task.json is not a task/],
    ['of an unknown kind', changed((task) => (task.kind = 'regression')), /task.json is not a task: kind/],
    ['without a template', changed((task) => delete task.template), /task.json is not a task: template/],
    ['with a template without places', changed((task) => (task.template = 'Review:')), /template: needs a \{field\}/],
    ['with one label', changed((task) => (task.labels = [{ name: 'a', word: ' a' }])), /labels/],
    [
      'with a label twice',
      changed(
        (task) =>
          (task.labels = [
            { name: 'a', word: ' a' },
            { name: 'a', word: ' b' }
          ])
      ),
      /labels: have the same name twice/
    ],
    [
      'with a word twice',
      changed(
        (task) =>
          (task.labels = [
            { name: 'a', word: ' a' },
            { name: 'b', word: ' a' }
          ])
      ),
      /labels: have the same word twice/
    ],
    [
      'with an empty word',
      changed(
        (task) =>
          (task.labels = [
            { name: 'a', word: '' },
            { name: 'b', word: ' a' }
          ])
      ),
      /labels.0.word/
    ],
    ['with fewer examples than it says', { ...reviews, test: reviews.train }, /test.jsonl has 360 examples, and task.json says 150/],
    ['with a label of another task', { ...reviews, train: '{"text":"a","label":"meh"}' }, /train.jsonl, line 1: "meh" is not a label/],
    [
      'with a field missing',
      { ...reviews, train: '{"text":"a","label":"positive"}\n\n{"label":"positive"}' },
      /line 3: "text" is missing or empty/
    ],
    ['with a cut line', { ...reviews, validation: reviews.validation.slice(0, -10) }, /row in line 90 is not valid JSON/]
  ]
  it.each(cases)('%s', (_, broken, message) => {
    expect(() => siteTask(broken)).toThrow(message)
    expect(() => siteTask(broken)).toThrow(UserError)
  })
})

describe('templates', () => {
  it('are filled in once', () => {
    expect(renderTemplate('{a}-{b c}-{a} {}', { a: '{b c} $& $1', 'b c': '2' })).toBe('{b c} $& $1-2-{b c} $& $1 {}')
    expect(templateFields('{b} {a} {b}')).toEqual(['b', 'a'])
  })

  it('name the field that is not there, and those that are', () => {
    const render = () => renderTemplate('{constructor}', { text: 'x', title: 'y' })
    expect(render).toThrow('The template asks for {constructor}')
    expect(render).toThrow(expect.objectContaining({ advice: 'Use one of these fields: {text}, {title}.' }) as Error)
  })

  it('need a label of the task', () => {
    const { task } = siteTask(files('reviews'))
    expect(() => renderAnswer(task, { fields: {}, label: 'meh' })).toThrow(/labelled "meh"/)
    expect(() => renderAnswer(task, { fields: {} })).toThrow(/has no label/)
  })
})
