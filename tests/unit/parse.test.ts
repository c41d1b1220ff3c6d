import fc from 'fast-check'
import Papa from 'papaparse'
import { describe, expect, it } from 'vitest'
import { UserError } from '../../src/engine/errors'
import { decodeText, parseTable } from '../../src/tasks/parse'

const values = (name: string, text: string) => parseTable(name, text).rows.map((row) => row.values)
const two = [
  { text: 'good, very', label: 'up' },
  { text: 'bad "thing"\nindeed', label: 'down' }
]

describe('every format gives the same rows', () => {
  it.each([
    ['a.csv', 'text,label\n"good, very",up\n"bad ""thing""\nindeed",down\n'],
    ['a.csv', '\ufefftext,label\r\n"good, very",up\r\n\r\n , \r\n"bad ""thing""\r\nindeed",down\r\n'],
    ['a.txt', 'text;label\ngood, very;up\n"bad ""thing""\nindeed";down'],
    ['a.tsv', 'text\tlabel\ngood, very\tup\n"bad ""thing""\nindeed"\tdown'],
    ['a', 'text|label\ngood, very|up\n"bad ""thing""\nindeed"|down'],
    ['a.csv', 'text,label,\n"good, very",up,\n"bad ""thing""\nindeed",down,'],
    ['a.json', JSON.stringify(two)],
    ['a.json', JSON.stringify({ version: 1, data: two }, null, 2)],
    ['a.jsonl', two.map((row) => JSON.stringify(row)).join('\n') + '\n\n'],
    ['a.txt', '\ufeff' + two.map((row) => JSON.stringify(row)).join('\r\n')],
    ['a.ndjson', two.map((row) => JSON.stringify(row)).join('\n')]
  ])('%s %#', (name, text) => {
    expect(values(name, text).map(({ text, label }) => ({ text, label }))).toEqual(two)
  })

  it('whatever the texts are', () => {
    const cell = fc.string({ unit: 'grapheme' }).map((text) => text.replace(/[\0\ufffd\r]/g, '') + '.')
    const rows = fc.array(fc.record({ text: cell, kind: cell }), { minLength: 2, maxLength: 8 })
    fc.assert(
      fc.property(rows, fc.constantFrom(',', '\t', ';', '|'), (data, delimiter) => {
        fc.pre(!data[0]!.text.startsWith('\ufeff'))
        expect(values('a.json', JSON.stringify(data, null, 1))).toEqual(data)
        expect(values('a.jsonl', data.map((row) => JSON.stringify(row)).join('\n'))).toEqual(data)
        const name = delimiter === '\t' ? 'a.tsv' : 'a.csv'
        expect(values(name, Papa.unparse(data, { delimiter, quotes: true, newline: '\n' }))).toEqual(data)
      })
    )
  })
})

describe('rows', () => {
  it('know their lines', () => {
    const lines = (name: string, text: string) => parseTable(name, text).rows.map((row) => row.line)
    expect(lines('a.csv', 'text,label\n"one\ntwo",x\n\nthree,y\n')).toEqual([2, 5])
    expect(lines('a.jsonl', '\n{"a":1}\n\n{"a":2}')).toEqual([2, 4])
    expect(lines('a.json', '[\n  {"a":"x\\n"},\n\n  {\n  "a":2}\n]\n')).toEqual([2, 4])
  })

  it('of JSON may leave fields out, and hold other things than text', () => {
    expect(values('a.jsonl', '{"a":1,"b":true}\n{"c":null,"a":{"x":[2]}}')).toEqual([
      { a: '1', b: 'true', c: '' },
      { a: '{"x":[2]}', b: '', c: '' }
    ])
  })

  it('may have no header, which is told', () => {
    const table = parseTable('a.csv', 'I liked it,good\nNo!,bad\nA gem,good\n')
    expect(table.columns).toEqual(['column 1', 'column 2'])
    expect(table.rows.map(({ values, line }) => [values['column 2'], line])).toEqual([
      ['good', 1],
      ['bad', 2],
      ['good', 3]
    ])
    expect(table.notes).toHaveLength(1)
    expect(parseTable('a.csv', 'text,label\nI liked it,good\nNo!,bad\n').notes).toEqual([])
  })

  it('are found by the separator that fits them all, not by the commonest mark', () => {
    expect(values('a.txt', 'text;label\nwell, well, well;1\na, b;0\nx, y, z;1\n')[0]).toEqual({ text: 'well, well, well', label: '1' })
    expect(values('a.txt', 'text\tlabel\nhi, a\tx\nho\ty\n')).toEqual([
      { text: 'hi, a', label: 'x' },
      { text: 'ho', label: 'y' }
    ])
  })
})

describe('a wrong file is refused with its line', () => {
  it.each([
    ['a.csv', '', /"a.csv" is empty/],
    ['a.csv', ' \n\n', /"a.csv" is empty/],
    ['a.csv', 'text,label\n', /has columns but no rows/],
    ['a.json', '[]', /has columns but no rows/],
    ['a.csv', 'text,label\nok,x\n\none, two,y\n', /Line 4 has 3 cells, and the first line has 2/],
    ['a.csv', 'text,label\nok,x\n"a\nb",y\nshort\n', /Line 5 has 1 cell, and the first line has 2/],
    ['a.csv', 'text,label\nok,x\n"open,y\nz,x\n', /quotation marks in line 3/],
    ['a.csv', 'text,label\nok,x\n"so" it goes,y\nz,x\n', /quotation marks in line 3/],
    ['a.csv', 'text,label,text\na,b,c\n', /Two columns are called "text"/],
    ['a.csv', 'text,label\nok,x\ncaf\ufffd,y\n', /Line 3 holds a character/],
    ['a.csv', 't\0e\0x\0t\0', /Line 1 holds a character/],
    ['a.jsonl', '{"a":1}\n{"a":\n', /row in line 2 is not valid JSON/],
    ['a.jsonl', '{"a":1}\n\n[1]\n', /row in line 3 is not an object/],
    ['a.json', '[{"a":1},\n{"a" 2}]', /row in line 2 is not valid JSON/],
    ['a.json', '[{"a":1}\n{"a":2}]', /row in line 1 is not valid JSON/],
    ['a.json', '[{"a":1},\n]', /row in line 2 is not valid JSON/],
    ['a.json', '[{"a":1},\n{"a":', /row in line 2 has no end/],
    ['a.json', '[{"a":1},\n"open', /row in line 2 has no end/],
    ['a.json', '["a","b"]', /row in line 1 is not an object/],
    ['a.json', '[{"a":1}]\n[{"a":2}]', /list ends in line 1, but more text follows/],
    ['a.json', 'null', /row in line 1 is not an object/]
  ])('%s %j', (name, text, message) => {
    expect(() => parseTable(name, text)).toThrow(message)
    expect(() => parseTable(name, text)).toThrow(UserError)
  })

  it('and never with anything else', () => {
    const mark = fc.constantFrom('"', ',', '\n', '{', '}', '[', ']', ':', 'a', '\\', '\t', '1', ' ')
    fc.assert(
      fc.property(
        fc.array(mark, { maxLength: 30 }).map((marks) => marks.join('')),
        fc.constantFrom('a.csv', 'a.json', 'a.tsv', 'a'),
        (text, name) => {
          try {
            for (const { values } of parseTable(name, text).rows) expect(typeof Object.values(values).join()).toBe('string')
          } catch (error) {
            expect(error).toBeInstanceOf(UserError)
          }
        }
      ),
      { numRuns: 3000 }
    )
  })
})

describe('bytes', () => {
  const utf16 = (text: string, little: boolean) => {
    const bytes = new Uint8Array(2 + text.length * 2)
    const view = new DataView(bytes.buffer)
    ;[...('\ufeff' + text)].forEach((letter, i) => view.setUint16(i * 2, letter.charCodeAt(0), little))
    return bytes
  }

  it('are UTF-8, or UTF-16 with a mark', () => {
    expect(decodeText(new TextEncoder().encode('naïve'))).toBe('naïve')
    expect(decodeText(utf16('naïve', true))).toBe('naïve')
    expect(decodeText(utf16('naïve', false))).toBe('naïve')
  })

  it('of another encoding are refused with their line', () => {
    expect(() => decodeText(Uint8Array.from([...'a\nb\ncaf'].map((letter) => letter.charCodeAt(0)).concat(0xe9)))).toThrow(/Line 3/)
    expect(() => decodeText(utf16('ab', true).subarray(2))).toThrow(/Line 1/)
  })
})
