import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { UserError } from '../../src/engine/errors'
import { fileTask, type FileTaskOptions } from '../../src/tasks/fileTask'
import { stratifiedSplit } from '../../src/tasks/split'

/** A CSV file of `rows` numbered texts whose labels go round. */
const csv = (header: string, labels: string[], rows: number) =>
  [header, ...Array.from({ length: rows }, (_, i) => `Text number ${i},${labels[i % labels.length]}`)].join('\n')

const make = (text: string, options: Partial<FileTaskOptions> = {}, name = 'mine.csv') => fileTask(name, text, { seed: 1, ...options })

const classification = (text: string, options: Partial<FileTaskOptions> = {}, name?: string) => {
  const { task } = make(text, options, name).data
  if (task.kind !== 'classification') throw new Error('A file makes a classification task.')
  return task
}

describe('a plain file becomes a task', () => {
  it('by the names of its columns', () => {
    const { data, notes } = make(csv('review,sentiment', ['good', 'bad'], 100))
    expect(data.task).toMatchObject({
      kind: 'classification',
      name: 'mine',
      template: 'Review: {review}\nSentiment:',
      labels: [
        { name: 'bad', word: ' bad' },
        { name: 'good', word: ' good' }
      ]
    })
    expect([data.train.length, data.validation.length, data.test.length]).toEqual([60, 15, 25])
    expect(Object.keys(data.train[0]!.fields)).toEqual(['review'])
    expect(notes).toEqual([])
  })

  it.each([
    ['label,text', 'Text: {text}\nLabel:', (i: number) => `${i % 2},a text ${i}`],
    ['id,reviewText,star_class', 'Review text: {reviewText}\nStar class:', (i: number) => `${i},a text ${i},${i % 2}`],
    ['one,two,three', 'Two: {two}\nThree:', (i: number) => `${i},a much longer text ${i},${i % 3}`],
    ['target,CONTENT', 'Content: {CONTENT}\nTarget:', (i: number) => `${i % 2},a text ${i}`],
    ['target,class,text', 'Text: {text}\nClass:', (i: number) => `free text ${i},${i % 2},a text ${i}`],
    ['yes,some words', 'Text: {column 2}\nLabel:', (i: number) => `${i % 2 ? 'yes' : 'no'},a text ${i}`]
  ])('with the columns %s', (header, template, row) => {
    expect(classification([header, ...Array.from({ length: 200 }, (_, i) => row(i))].join('\n')).template).toBe(template)
  })

  it('as it is told', () => {
    const rows = Array.from({ length: 40 }, (_, i) => ({ title: `T${i}`, body: `B${i}`, Topic: String(i % 2), label: `L${i % 3}` }))
    const task = classification(
      JSON.stringify(rows),
      { textColumn: 'body', labelColumn: 'topic', template: '{Title}\n{body}\nTopic: ', labelWords: { '0': 'cold', '1': '\twarm' } },
      'x/y.json'
    )
    expect(task).toMatchObject({
      name: 'y',
      template: '{title}\n{body}\nTopic:',
      labels: [
        { name: '0', word: ' cold' },
        { name: '1', word: '\twarm' }
      ]
    })
    expect(
      classification(JSON.stringify(rows), { labelColumn: 'Topic', textColumn: 'title', template: 'Say {text}:' }, 'y.json').template
    ).toBe('Say {title}:')
  })

  it('and says which rows it leaves out', () => {
    const rows = csv('text,label', ['x', 'y'], 30) + '\nText number 0,x\n,x\nno label,\nno label either, \n'
    const { data, notes } = make(rows)
    expect(data.train.length + data.validation.length + data.test.length).toBe(30)
    expect(notes).toEqual([
      '2 rows without a label, left out: lines 34, 35.',
      '1 row without a text, left out: line 33.',
      '1 row already seen, left out: line 32.'
    ])
  })

  it('and says which labels are rare', () => {
    const { notes } = make(csv('text,label', ['x', 'y'], 30) + '\nonce,z')
    expect(notes).toEqual(['Too few rows to be in every set: "z".'])
  })

  it('in the same way for the same seed, and in another for another', () => {
    const text = csv('text,label', ['x', 'y', 'z'], 90)
    expect(make(text, { seed: 7 })).toEqual(make(text, { seed: 7 }))
    expect(make(text, { seed: 7 }).data.test).not.toEqual(make(text, { seed: 8 }).data.test)
  })
})

describe('a file that is no task is refused in words', () => {
  const sound = csv('text,label', ['x', 'y'], 40)
  const cases: [string, string, Partial<FileTaskOptions>, RegExp, RegExp][] = [
    ['one label', csv('text,label', ['x'], 40), {}, /only one label, "x"/, /at least two/],
    [
      'too many labels',
      csv(
        'text,label',
        Array.from({ length: 51 }, (_, i) => `l${i}`),
        204
      ),
      {},
      /51 different labels, and 50 are allowed/,
      /fewer/
    ],
    ['too few rows', csv('text,label', ['x', 'y'], 19), {}, /19 rows/, /at least 20/],
    [
      'rows for no label',
      csv(
        'text,label',
        Array.from({ length: 10 }, (_, i) => `l${i}`),
        20
      ),
      {},
      /four rows/,
      /Add rows/
    ],
    ['one column', 'text\n' + 'a\nb\n'.repeat(20), {}, /only one column, "text"/, /a column of labels/],
    [
      'no labels to see',
      csv(
        'one,two',
        Array.from({ length: 40 }, (_, i) => `free ${i}`),
        40
      ),
      {},
      /which column holds the label/,
      /"one", "two"/
    ],
    ['unknown text column', sound, { textColumn: 'body' }, /no column "body" for the text/, /"text", "label"/],
    ['unknown label column', sound, { labelColumn: 'kind' }, /no column "kind" for the label/, /"text", "label"/],
    ['one column for both', sound, { textColumn: 'label', labelColumn: 'label' }, /both text and label/, /"text", "label"/],
    ['a template without places', sound, { template: 'Text:' }, /no place for the text/, /\{text\}/],
    ['a template with an unknown place', sound, { template: '{body}' }, /\{body\}, which is no column/, /"text", "label"/],
    ['a template that tells', sound, { template: '{text} is {label}' }, /shows the label itself/, /Leave the label out/],
    ['words for no label', sound, { labelWords: { z: 'zed' } }, /no label "z"/, /x, y/],
    ['the same word twice', sound, { labelWords: { x: 'y' } }, /same word, "y"/, /own word/],
    ['an empty word', sound, { labelWords: { x: ' ' } }, /empty word/, /Give each label a word/]
  ]
  it.each(cases)('%s', (_, text, options, message, advice) => {
    try {
      make(text, options)
      expect.fail('This file must be refused.')
    } catch (error) {
      expect(error).toBeInstanceOf(UserError)
      expect((error as UserError).message).toMatch(message)
      expect((error as UserError).advice).toMatch(advice)
    }
  })
})

describe('a stratified split', () => {
  it('deals out every row once, each label in its share', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(4), { maxLength: 200 }), fc.nat(), (labels, seed) => {
        const rows = labels.map((label, i) => ({ label, i }))
        const { train, validation, test } = stratifiedSplit(rows, (row) => String(row.label), seed)
        expect([...train, ...validation, ...test].map(({ i }) => i).sort((a, b) => a - b)).toEqual(rows.map(({ i }) => i))
        for (let label = 0; label < 5; label++) {
          const count = (part: { label: number }[]) => part.filter((row) => row.label === label).length
          const all = count(rows)
          for (const [part, share] of [
            [train, 0.6],
            [validation, 0.15],
            [test, 0.25]
          ] as const) {
            expect(Math.abs(count(part) - share * all)).toBeLessThan(1 + 1e-9)
          }
          if (all > 0) expect(count(train)).toBeGreaterThan(0)
        }
      })
    )
  })

  it('does not leave rows in the order of the file', () => {
    const { train } = stratifiedSplit(
      Array.from({ length: 100 }, (_, i) => i),
      (i) => String(i % 2),
      1
    )
    expect(train).not.toEqual([...train].sort((a, b) => a - b))
    expect(new Set(train.slice(0, 10).map((i) => i % 2)).size).toBe(2)
  })
})
