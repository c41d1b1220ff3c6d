// A race on a task whose answers are written: its loss, its answers and its best step, against the same made one by one.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { evaluateGeneration, type GenerationSplit } from '../../src/engine/evaluation/evaluateGeneration'
import type { Decoder } from '../../src/engine/model/decoder'
import { generate } from '../../src/engine/model/generate'
import { GREEDY } from '../../src/engine/model/sampling'
import { Random } from '../../src/engine/random'
import type { RaceEvent } from '../../src/engine/training/events'
import { Race } from '../../src/engine/training/race'
import type { GenerationResult } from '../../src/engine/training/records'
import { createBatch } from '../../src/tasks/batches'
import { createRaceData } from '../../src/tasks/raceData'
import type { TaskData } from '../../src/tasks/task'
import { useBackend } from './backend'
import { alive, raceDecoder, tinyPassages, tinyRecipe, tinyTokenizer } from './tinyRace'

const SAYINGS: [string, string][] = [
  ['red sky', 'good night'],
  ['grey sky', 'rain'],
  ['black cat', 'luck'],
  ['white cat', 'no luck at all']
]

const examples = (count: number, from: number): TaskData['train'] =>
  Array.from({ length: count }, (_, i) => {
    const [sign, meaning] = SAYINGS[(from + i) % SAYINGS.length]!
    return { fields: { sign: `${sign}${' so'.repeat((from + i) % 3)}`, meaning } }
  })

const sayings: TaskData = {
  task: {
    kind: 'generation',
    name: 'sayings',
    title: 'Sayings',
    domain: 'test',
    template: '{sign}\nMeans:',
    target: ' {meaning}',
    metrics: ['perplexity'],
    licence: 'CC0-1.0'
  },
  train: examples(24, 0),
  validation: examples(6, 1),
  test: examples(70, 2)
}

describe('on wasm', () => {
  let decoder: Decoder
  beforeAll(async () => {
    await useBackend('wasm')
    decoder = await raceDecoder()
  })
  afterAll(() => decoder.dispose())

  const dataFor = (methods: string[]) => {
    const recipes = methods.map((method) => tinyRecipe(method))
    return { recipes, data: createRaceData(sayings, tinyTokenizer, decoder.config, recipes, tinyPassages) }
  }

  test('the loss is the mean over all tokens of the wanted answers, their ends included', async () => {
    const { data } = dataFor(['handwrittenPrompt'])
    const split = data.validation as GenerationSplit
    const { loss, tokens, metrics, outputs } = await evaluateGeneration(decoder, split, {}, false)
    let nats = 0
    let count = 0
    for (const { fields } of sayings.validation) {
      const prompt = [0, ...tinyTokenizer.encode(`${fields.sign}\nMeans:`)]
      const answer = [...tinyTokenizer.encode(` ${fields.meaning}`), 2]
      for (let i = 0; i < answer.length; i++) {
        const value = decoder.logProbabilities(createBatch([{ promptIds: [...prompt, ...answer.slice(0, i)], answerIds: [answer[i]!] }], 1))
        nats -= (await value.data())[0]!
        value.dispose()
        count++
      }
    }
    expect(tokens).toBe(count)
    expect(loss).toBeCloseTo(nats / count, 5)
    expect(metrics).toMatchObject({ examples: 6, tokens: count, perplexity: Math.exp(loss), generated: 0, tokenF1: null })
    expect(outputs).toEqual([])
  })

  test('the first 64 examples are answered, each as it is answered alone, and no answer is longer than the longest wanted one', async () => {
    const split = dataFor(['handwrittenPrompt']).data.test as GenerationSplit
    const before = alive()
    const { metrics, outputs } = await evaluateGeneration(decoder, split)
    expect(alive()).toEqual(before)
    expect([metrics.examples, metrics.generated, outputs.length]).toEqual([70, 64, 64])
    expect(split.maximumTokens).toBe(5)
    for (const i of [0, 17, 63]) {
      const ids: number[] = []
      const options = { ...GREEDY, maximumTokens: 5, random: new Random(0), stopTokens: [2] }
      for await (const id of generate(decoder, split.prompts[i]!, options)) ids.push(id)
      expect(outputs[i]).toEqual({ text: split.texts[i], target: sayings.test[i]!.fields.meaning, output: tinyTokenizer.decode(ids) })
    }
    const cancel = (): Promise<void> => Promise.reject(new Error('cancelled'))
    await expect(evaluateGeneration(decoder, split, {}, true, cancel)).rejects.toThrow('cancelled')
    expect(alive()).toEqual(before)
  })

  test('a race keeps the step of the lowest validation loss, and tells perplexity and answers of every run', async () => {
    const { recipes, data } = dataFor(['handwrittenPrompt', 'allWeights'])
    const events: RaceEvent[] = []
    const race = await Race.create({
      decoder,
      data,
      runs: recipes.map((recipe, i) => ({ id: `run ${i}`, name: `Run ${i}`, recipe })),
      settings: { budget: { kind: 'steps', steps: 24 }, evaluateEvery: 4, patience: 0 },
      listener: (event) => events.push(event)
    })
    await race.run()
    race.dispose()
    const [baseline, tuned] = events.flatMap((event) => (event.type === 'result' ? [event.result as GenerationResult] : []))
    const validations = events.flatMap((event) => (event.type === 'validation' && event.run === 'run 1' ? [event.record] : []))
    expect(validations.map(({ step }) => step)).toEqual([0, 4, 8, 12, 16, 20, 24])
    expect(validations[0]).not.toHaveProperty('accuracy')
    const lowest = Math.min(...validations.map(({ loss }) => loss))
    expect(tuned!.bestStep).toBe(validations.findLast(({ loss }) => loss === lowest)!.step)
    expect(tuned!.validation.perplexity).toBeCloseTo(Math.exp(lowest), 4)
    expect(tuned!.test.perplexity).toBeLessThan(2)
    expect(baseline!.test.perplexity).toBeGreaterThan(20)
    expect(tuned!.untrained).toEqual(baseline!.test)
    expect([baseline!.outputs.length, tuned!.outputs.length, tuned!.validation.generated]).toEqual([64, 64, 6])
    // Hashed tokens do not decode to words: what is wanted is compared as ids.
    const right = tuned!.outputs.filter(({ target, output }) => output === tinyTokenizer.decode(tinyTokenizer.encode(` ${target}`)))
    expect(right.length).toBeGreaterThan(56)
    expect(events.filter(({ type }) => type === 'problem')).toEqual([])
  })
})
