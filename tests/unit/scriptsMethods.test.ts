// The tables of docs/METHODS.md: which runs they are made of, and what is written of them.
import { describe, expect, it } from 'vitest'
import { getMethod, methods } from '../../src/engine/methods/registry'
import { experiments, rows } from '../../scripts/methodsPlan.mjs'
import { helpTable, methodsTable, withTable } from '../../scripts/methodsTable.mjs'

type Runs = Parameters<typeof methodsTable>[0]

/** What a finished run says, as far as the tables read it. */
function finished(name: string, accuracy: number): Runs[number] {
  const experiment = experiments([1, 2, 3]).find((candidate) => candidate.name === name)!
  const result = {
    metrics: { accuracy, f1Macro: accuracy - 0.1 },
    forgetting: { before: 4, after: 4.25, adapterOff: 4 },
    cost: { seconds: 20, trainableParameters: 2560, adapterBytes: 10_312, peakBytes: 5e7 }
  }
  return { experiment, result: result as Runs[number]['result'] }
}

describe('the plan', () => {
  it('has every method of the registry, each run once, the first seed first', () => {
    const ids = rows.flatMap(({ parts }) => parts.map(({ method }) => method))
    expect([...new Set(ids)].sort()).toEqual(Object.keys(methods).sort())
    const all = experiments([1, 2, 3])
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length)
    expect(all.findIndex(({ seed }) => seed === 2)).toBeGreaterThan(all.findLastIndex(({ seed }) => seed === 1))
  })

  it('changes options that the methods have', () => {
    for (const { parts } of experiments([1])) {
      for (const { method, options } of parts)
        expect(Object.keys(getMethod(method).options)).toEqual(expect.arrayContaining(Object.keys(options)))
    }
  })
})

describe('the tables', () => {
  it('give the mean and the spread of the seeds that are there', () => {
    const runs = [finished('reviews-softPrompt-s1', 0.6), finished('reviews-softPrompt-s2', 0.7), finished('headlines-softPrompt-s1', 0.5)]
    const lines = methodsTable(runs).split('\n')
    expect(lines).toHaveLength(4)
    expect(lines[2]!.split('|').map((cell) => cell.trim())).toEqual([
      '',
      'reviews',
      'Soft prompt',
      '2',
      '0.650 ± 0.071',
      '0.550 ± 0.071',
      '2,560',
      '10.3',
      '20',
      '50',
      '0.25 ± 0.00',
      ''
    ])
    expect(lines[3]).toMatch(/\| +0\.500 \|/)
    expect(new Set(lines.map((line) => line.length)).size).toBe(1)
  })

  it('set what was changed beside the defaults', () => {
    const runs = [finished('reviews-softPrompt-s1', 0.6), finished('reviews-softPrompt-steps-300-s1', 0.64)]
    const [, , plain, changed] = helpTable(runs).split('\n')
    expect(plain).toMatch(/the defaults +\| +0\.600 \|/)
    expect(changed).toMatch(/300 steps +\| +0\.640 \|/)
  })

  it('are written between their markers and nowhere else', () => {
    const page = 'a\n<!-- x:begin -->\nold\n<!-- x:end -->\nb\n'
    expect(withTable(page, 'x', 'new')).toBe('a\n<!-- x:begin -->\n\nnew\n\n<!-- x:end -->\nb\n')
    expect(() => withTable(page, 'y', 'new')).toThrow('no markers')
  })
})
