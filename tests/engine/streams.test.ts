// Models that write at once: each as it writes alone, in turns that a race can go on between, and gone when they are stopped.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Decoder } from '../../src/engine/model/decoder'
import { generate } from '../../src/engine/model/generate'
import { nextTask } from '../../src/engine/nextTask'
import { Random } from '../../src/engine/random'
import type { Tokenizer } from '../../src/engine/tokenizer/tokenizer'
import { DeviceQueue } from '../../src/worker/deviceQueue'
import type { LoadedModel } from '../../src/worker/models'
import type { StreamedText, StreamRequest } from '../../src/worker/streamCalls'
import { AnswerStreams, type Writer } from '../../src/worker/streams'
import { useBackend } from './backend'
import { alive, raceDecoder, tinyRecipe, tinyTask, tinyTokenizer } from './tinyRace'

let decoder: Decoder
let model: LoadedModel
beforeAll(async () => {
  await useBackend('wasm')
  decoder = await raceDecoder()
  const tokenizer: Tokenizer = { ...tinyTokenizer, decode: (ids) => ids.map((id) => ` ${id}`).join('') }
  model = { decoder, tokenizer } as LoadedModel
})
afterAll(() => decoder.dispose())

const data = Float32Array.from({ length: 4 * 20 }, (_, i) => Math.sin(i))
const writers: Writer[] = [
  { run: 'base' },
  { run: 'soft', recipe: tinyRecipe('softPrompt'), tensors: { virtualTokens: { shape: [4, 20], data } } }
]
const request: StreamRequest = {
  fields: { text: 'red blue red' },
  runs: ['base', 'soft'],
  sampling: { temperature: 1.5, topK: 0, topP: 1 },
  maximumTokens: 30,
  seed: 4
}

const alone = async (): Promise<string> => {
  const prompt = [0, ...tinyTokenizer.encode('red blue red\nKind:')]
  let text = ''
  const options = { ...request.sampling, maximumTokens: 30, random: new Random(4), stopTokens: [2] }
  for await (const id of generate(decoder, prompt, options)) text += ` ${id}`
  return text
}

test('each model writes what it writes alone, and is told as it grows', async () => {
  const told: StreamedText[][] = []
  const before = alive()
  await new AnswerStreams(new DeviceQueue()).write(model, tinyTask.task, writers, request, (texts) => told.push(texts))
  const [base, soft] = told.at(-1)!
  expect(base!.text).toBe(await alone())
  expect(soft!.text).not.toBe(base!.text)
  expect([base!.run, soft!.run, base!.isOver, soft!.isOver]).toEqual(['base', 'soft', true, true])
  expect(base!.tokens).toBe(base!.text.split(' ').length - 1)
  expect(base!.tokensPerSecond).toBeGreaterThan(0)
  const again: StreamedText[][] = []
  await new AnswerStreams(new DeviceQueue()).write(model, tinyTask.task, writers, request, (texts) => again.push(texts))
  expect(again.at(-1)!.map(({ text }) => text)).toEqual([base!.text, soft!.text])
  // What is left over is the table of positions, which stays with the model.
  expect(alive().tensors - before.tensors).toBeLessThanOrEqual(2)
})

test('during a race a turn is taken between two steps only, and Stop leaves what was written and nothing on the device', async () => {
  const queue = new DeviceQueue()
  const streams = new AnswerStreams(queue)
  const before = alive()
  let last: StreamedText[] = []
  queue.hold()
  const written = streams.write(
    model,
    tinyTask.task,
    writers,
    { ...request, maximumTokens: 60, sampling: { temperature: 2, topK: 0, topP: 1 } },
    (texts) => {
      last = texts
    }
  )
  const step = async (): Promise<number> => {
    for (let i = 0; i < 20; i++) await nextTask()
    return last[0]?.tokens ?? 0
  }
  expect(await step()).toBe(0)
  await queue.drain()
  const first = await step()
  expect(first).toBeGreaterThan(0)
  expect(await step()).toBe(first)
  void streams.stop()
  let isStopped = false
  void written.then(() => (isStopped = true))
  for (let drains = 0; !isStopped && drains < 5; drains++) {
    await queue.drain()
    await step()
  }
  expect(isStopped).toBe(true)
  expect(last.map(({ isOver }) => isOver)).toEqual([true, true])
  expect(last[0]!.tokens).toBe(first)
  expect(alive()).toEqual(before)
})

test('a later stream ends the earlier one, and a text without room is refused without a leak', async () => {
  const streams = new AnswerStreams(new DeviceQueue())
  const before = alive()
  const first = streams.write(model, tinyTask.task, writers, { ...request, maximumTokens: 1000 }, () => undefined)
  const second = streams.write(model, tinyTask.task, [writers[0]!], { ...request, maximumTokens: 2 }, () => undefined)
  await Promise.all([first, second])
  const narrow = { ...model, decoder: { ...decoder, config: { ...decoder.config, maximumPositions: 2 } } as Decoder }
  await expect(streams.write(narrow, tinyTask.task, writers, request, () => undefined)).rejects.toMatchObject({ name: 'UserError' })
  expect(alive()).toEqual(before)
})
