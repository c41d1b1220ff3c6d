// What leaves as JSON comes back to the last bit, and the archive's schemas describe exactly the stored types.
import fc from 'fast-check'
import * as v from 'valibot'
import { describe, expect, expectTypeOf, test } from 'vitest'
import { parseExactly, stringifyExactly } from '../../src/storage/exactJson'
import type { CheckpointState, StoredRace, StoredRun } from '../../src/storage/records'
import { checkpointStateSchema, firstIssue, storedRaceSchema, storedRunSchema } from '../../src/storage/schema'
import { sampleRace, sampleRun, sampleState } from '../fixtures/storageSamples'

describe('exact JSON', () => {
  test('writes special numbers so that other tools can read the file', () => {
    expect(stringifyExactly({ loss: NaN, best: Infinity, text: 'NaN' })).toBe(
      '{"loss":{"$number":"NaN"},"best":{"$number":"Infinity"},"text":"NaN"}'
    )
  })

  test('gives back every double and every text', () => {
    const value = fc.array(fc.oneof(fc.double(), fc.constantFrom(NaN, -0, Infinity, -Infinity), fc.string({ unit: 'binary' })))
    fc.assert(fc.property(value, (items) => void expect(parseExactly(stringifyExactly(items))).toStrictEqual(items)))
  })

  test('leaves alone what only looks like a special number', () => {
    for (const text of ['{"$number":"12"}', '{"$number":"NaN","more":1}', '{"$number":5}']) {
      expect(parseExactly(text)).toEqual(JSON.parse(text))
    }
  })
})

describe('archive schemas', () => {
  const reread = (schema: v.GenericSchema, value: unknown) => v.parse(schema, parseExactly(stringifyExactly(value)))

  test('keep everything that is stored', () => {
    expect(reread(storedRunSchema, sampleRun)).toStrictEqual(sampleRun)
    expect(reread(storedRaceSchema, sampleRace)).toStrictEqual(sampleRace)
    expect(reread(checkpointStateSchema, sampleState)).toStrictEqual(sampleState)
    expectTypeOf<v.InferOutput<typeof storedRunSchema>>().branded.toEqualTypeOf<StoredRun>()
    expectTypeOf<v.InferOutput<typeof storedRaceSchema>>().toEqualTypeOf<StoredRace>()
    expectTypeOf<v.InferOutput<typeof checkpointStateSchema>>().toEqualTypeOf<CheckpointState>()
  })

  test('take results of before there were written answers, and results of written answers', () => {
    const { kind: _, ...earlier } = sampleRun.result!
    expect(reread(storedRunSchema, { ...sampleRun, result: earlier })).toStrictEqual(sampleRun)
    const metrics = { examples: 3, tokens: 20, perplexity: Infinity, generated: 0, exactMatch: null, tokenF1: null, rougeL: null }
    const { stopReason, bestStep, forgetting, cost } = sampleRun.result!
    const outputs = [{ text: 'Why?', target: 'so', output: '' }]
    const scores = { kind: 'generation', test: metrics, validation: metrics, untrained: metrics, outputs }
    const validation = [{ step: 10, seconds: 1, loss: 2.5 }]
    const written = { ...sampleRun, curve: { steps: [], validation }, result: { stopReason, bestStep, forgetting, cost, ...scores } }
    expect(reread(storedRunSchema, written)).toStrictEqual(written)
    expect(v.is(storedRunSchema, { ...written, result: { ...written.result, kind: 'ranking' } })).toBe(false)
  })

  test('keep labels that are called as an object’s own members are', () => {
    const labelWords = JSON.parse('{"constructor":" a","__proto__":" b"}') as Record<string, string>
    const request = {
      ...sampleRace.request,
      task: { kind: 'file', name: 'x.csv', text: 'a,b', options: { labelWords, seed: 1 } }
    }
    const task = (reread(storedRaceSchema, { ...sampleRace, request }) as StoredRace).request.task
    expect(task.kind === 'file' && Object.entries(task.options.labelWords ?? {})).toEqual([
      ['constructor', ' a'],
      ['__proto__', ' b']
    ])
  })

  test.each(['https://example.com/model', '//example.com', '../secret', 'models/../..', '/models/x', 'models\\x', ''])(
    'refuse the model path %j, which leaves the site’s folders',
    (path) => {
      const race = { ...sampleRace, request: { ...sampleRace.request, model: { kind: 'site', path } } }
      expect(v.is(storedRaceSchema, race)).toBe(false)
    }
  )

  test('name the place of the first problem', () => {
    const { issues } = v.safeParse(checkpointStateSchema, { ...sampleState, random: [1, 2, 3, -4] })
    expect(issues && firstIssue(issues)).toMatch(/^random\.3: /)
  })
})
