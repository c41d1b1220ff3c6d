// The prompt lab on a tiny model: its scores against sums made by hand, its solved examples, and what is left of a cancelled try.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { OptionValues } from '../../src/engine/methods/method'
import type { Decoder } from '../../src/engine/model/decoder'
import { Race } from '../../src/engine/training/race'
import type { ClassificationResult } from '../../src/engine/training/records'
import { createBatch } from '../../src/tasks/batches'
import { OWN_PROMPT, promptedTask, promptOptions } from '../../src/tasks/handwritten'
import { promptedSplit } from '../../src/tasks/promptedSplit'
import { answerPrompt } from '../../src/worker/answers'
import { scorePrompt } from '../../src/worker/lab'
import type { LoadedModel } from '../../src/worker/models'
import { useBackend } from './backend'
import { alive, raceDecoder, tinyData, tinyRecipe, tinyTask, tinyTokenizer } from './tinyRace'

let decoder: Decoder
let model: LoadedModel
beforeAll(async () => {
  await useBackend('wasm')
  decoder = await raceDecoder()
  model = { decoder, tokenizer: tinyTokenizer } as LoadedModel
})
afterAll(() => decoder.dispose())

const score = (changes: Partial<typeof OWN_PROMPT>, signal = new AbortController().signal) =>
  scorePrompt(model, tinyTask, { ...OWN_PROMPT, ...changes }, () => undefined, signal)

/** log p of each token of a word behind a prompt, summed, by one forward pass a token. */
async function logProbability(prompt: number[], word: number[]): Promise<number> {
  let sum = 0
  for (const [i, id] of word.entries()) {
    const values = decoder.logProbabilities(createBatch([{ promptIds: [...prompt, ...word.slice(0, i)], answerIds: [id] }], 1))
    sum += (await values.data())[0]!
    values.dispose()
  }
  return sum
}

/** Accuracy and loss as the definition says: every label's whole word behind the context and the question. */
async function byHand(changes: Partial<typeof OWN_PROMPT>): Promise<{ accuracy: number; loss: number; answers: number[] }> {
  const { task, context } = promptedTask(tinyTask, { ...OWN_PROMPT, ...changes })
  const words = task.labels.map(({ word }) => tinyTokenizer.encode(word))
  const answers: number[] = []
  let [nats, tokens, right] = [0, 0, 0]
  for (const { fields, label } of tinyTask.validation) {
    const prompt = [0, ...tinyTokenizer.encode(context), ...tinyTokenizer.encode(task.template.replace('{text}', fields.text!))]
    const scores = await Promise.all(words.map((word) => logProbability(prompt, word)))
    const truth = task.labels.findIndex(({ name }) => name === label)
    answers.push(scores.indexOf(Math.max(...scores)))
    nats -= scores[truth]!
    tokens += words[truth]!.length
    if (answers.at(-1) === truth) right++
  }
  return { accuracy: right / answers.length, loss: nats / tokens, answers }
}

test.each([
  ['the prompt of the task', {}],
  ['other label words', { words: ['lively', 'dim and low'] }],
  ['another template', { template: 'Colours {text} are' }],
  ['solved examples', { examples: 2, template: '{text}:' }]
])('%s scores as computed by hand', async (_, changes) => {
  const { accuracy, loss, confusion } = await score(changes)
  const expected = await byHand(changes)
  expect(loss).toBeCloseTo(expected.loss, 4)
  expect(accuracy).toBe(expected.accuracy)
  const answered = [0, 1].map((label) => expected.answers.filter((answer) => answer === label).length)
  expect([0, 1].map((label) => confusion.reduce((sum, row) => sum + row[label]!, 0))).toEqual(answered)
})

test('other words, another template and examples each change the scores', async () => {
  const losses = await Promise.all([{}, { words: ['lively', 'dim'] }, { template: '{text} is' }, { examples: 2 }].map((one) => score(one)))
  expect(new Set(losses.map(({ loss }) => loss.toFixed(4))).size).toBe(4)
})

test('a cancelled try leaves nothing allocated', async () => {
  const before = alive()
  const controller = new AbortController()
  const under = scorePrompt(model, tinyTask, { ...OWN_PROMPT, examples: 2 }, () => controller.abort(), controller.signal)
  await expect(under).rejects.toThrow()
  expect(alive()).toEqual(before)
  await score({ examples: 2 })
  expect(alive()).toEqual(before)
})

test('a typed text is asked behind the same examples, with the same words', async () => {
  const prompted = promptedTask(tinyTask, { ...OWN_PROMPT, template: '{text} are', words: ['lively', 'dim and low'], examples: 2 })
  const before = alive()
  const { probabilities } = await answerPrompt(model, prompted, 'run', { text: 'red blue red' })
  expect(alive()).toEqual(before)
  const prompt = [0, ...tinyTokenizer.encode(prompted.context), ...tinyTokenizer.encode('red blue red are')]
  const [lively, dim] = await Promise.all([' lively', ' dim and low'].map((word) => logProbability(prompt, tinyTokenizer.encode(word))))
  expect(probabilities[0]!.label).toBe('bright')
  expect(probabilities[0]!.probability).toBeCloseTo(1 / (1 + Math.exp(dim! - lively!)), 4)
})

test('tells how full the context is, and cuts the question and never the examples', () => {
  const room = (examples: number, maximumPositions = decoder.config.maximumPositions) =>
    promptedSplit(promptedTask(tinyTask, { ...OWN_PROMPT, examples }), tinyTask.validation, tinyTokenizer, {
      ...decoder.config,
      maximumPositions
    })
  const longest = Math.max(...tinyTask.validation.map(({ fields }) => tinyTokenizer.encode(`${fields.text}\nKind:`).length))
  expect(room(0)).toMatchObject({ contextTokens: 0, cut: 0, longest: 1 + longest + 2 })
  const { contextTokens } = room(3)
  expect(contextTokens).toBeGreaterThan(20)
  const full = room(3, contextTokens + 12)
  expect(full.contextTokens).toBe(contextTokens)
  expect([contextTokens + 11, contextTokens + 12]).toContain(full.longest)
  expect(full.cut).toBe(tinyTask.validation.filter(({ fields }) => tinyTokenizer.encode(`${fields.text}\nKind:`).length > 10).length)
  expect(() => room(16)).toThrow(/solved examples take \d+ tokens/)
})

test('a prompt of the lab races as the baseline, and the others are measured against the prompt of the task as before', async () => {
  const prompt = { ...OWN_PROMPT, template: 'Colours {text} are', words: ['lively', 'dim'], examples: 2 }
  const part = (options: OptionValues) => ({ ...tinyRecipe('handwrittenPrompt').parts[0]!, options })
  const recipes = [{ ...tinyRecipe('handwrittenPrompt'), parts: [part(promptOptions(prompt))] }, tinyRecipe('handwrittenPrompt')]
  const results: ClassificationResult[] = []
  const race = await Race.create({
    decoder,
    data: tinyData(decoder, recipes),
    runs: recipes.map((recipe, i) => ({ id: `run ${i}`, name: `Run ${i}`, recipe })),
    settings: { budget: { kind: 'steps', steps: 1 }, evaluateEvery: 1, patience: 0 },
    listener: (event) => {
      if (event.type === 'result') results.push(event.result as ClassificationResult)
    }
  })
  await race.run()
  race.dispose()
  const [lab, own] = results
  expect(lab!.validation.confusion).toEqual((await score(prompt)).confusion)
  expect(own!.validation.confusion).toEqual((await score({})).confusion)
  expect(lab!.predictions[0]!.text).toBe(`Colours ${tinyTask.test[0]!.fields.text} are`)
  expect(own!.predictions[0]!.text).toBe(`${tinyTask.test[0]!.fields.text}\nKind:`)
  expect(lab!.untrained).toEqual(own!.test)
})
