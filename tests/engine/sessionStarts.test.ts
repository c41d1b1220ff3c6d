// Starts and ensembles through the worker's session and the library: what is kept, what is started from, and what is refused.
import { beforeAll, expect, test } from 'vitest'
import type { OptionValues } from '../../src/engine/methods/method'
import { defaultRecipe } from '../../src/engine/training/defaultRecipe'
import type { Recipe } from '../../src/engine/training/recipe'
import { writeSafetensors } from '../../src/engine/formats/safetensors'
import { loadCheckpoint } from '../../src/storage/checkpoints'
import { beginModel, completeModel, modelId, writePiece } from '../../src/storage/models'
import { unfinishedRace } from '../../src/storage/races'
import { getRun } from '../../src/storage/runs'
import type { ModelSource, RaceEvent, RaceRequest, TaskSource } from '../../src/worker/protocol'
import { EngineSession } from '../../src/worker/session'
import type { MetaLearnEvent } from '../../src/worker/startCalls'
import { randomWeights, tinyLlama } from './tinyModel'

const moods = { good: ['fine', 'great', 'kind', 'warm'], bad: ['poor', 'awful', 'cold', 'rude'] }
const rows = Object.entries(moods).flatMap(([label, words]) =>
  words.flatMap((word) => ['food', 'room', 'staff'].map((noun) => `${word} ${noun},${label}`))
)
const csv = (name: string): TaskSource => ({ kind: 'file', name, text: ['text,label', ...rows].join('\n'), options: { seed: 1 } })
const hotels = csv('hotels.csv')

const siteRoot = new URL('/', location.href).href
const session = new EngineSession()
let model: ModelSource
beforeAll(async () => {
  await session.start({ prefer: 'wasm', siteRoot })
  model = await narrowModel()
})

/** One narrow layer with the tokenizer of the embedded model, kept as a model of this computer: learns little, but races in moments. */
async function narrowModel(): Promise<ModelSource> {
  const tokenizer = await (await fetch(`${siteRoot}models/tuneground-2m/tokenizer.json`)).text()
  const config = { ...tinyLlama, num_hidden_layers: 1, vocab_size: 8192, max_position_embeddings: 1024, bos_token_id: 0, eos_token_id: 0 }
  const weights = Object.entries(randomWeights(config)).map(([name, { shape, data }]) => [name, { shape: [...shape], data }] as const)
  const files = {
    'config.json': JSON.stringify(config),
    'tokenizer.json': tokenizer,
    'model.safetensors': writeSafetensors(Object.fromEntries(weights))
  }
  const source = { kind: 'local' as const, name: 'narrow', id: 'narrow' }
  const bytes = Object.entries(files).map(([name, content]): [string, Uint8Array<ArrayBuffer>] => [
    name,
    typeof content === 'string' ? new TextEncoder().encode(content) : content
  ])
  await beginModel({ id: modelId(source), source, files: bytes.map(([name, { length }]) => ({ name, bytes: length })) })
  for (const [name, content] of bytes) await writePiece(modelId(source), name, 0, content)
  await completeModel(modelId(source))
  return source
}

const prompt = (options: OptionValues = {}, seed = 1): Recipe => ({
  ...defaultRecipe('softPrompt', seed, { virtualTokens: 3, ...options }),
  batchSize: 4
})
const raceOf = (id: string, recipes: Recipe[], steps = 2): RaceRequest => ({
  id,
  name: id,
  model,
  task: hotels,
  runs: recipes.map((recipe, i) => ({ id: `${id}-${i}`, name: `${id} ${i}`, recipe })),
  settings: { budget: { kind: 'steps', steps }, evaluateEvery: 1, patience: 0, trainingExamples: 6 }
})
async function race(request: RaceRequest): Promise<RaceEvent[]> {
  const events: RaceEvent[] = []
  await session.race(request, (event) => events.push(event))
  return events
}
const problems = (events: RaceEvent[]) => events.flatMap((event) => (event.type === 'problem' ? [event.message] : []))

test('a meta-learned prompt is kept as a run of the library, and a race starts from it, or from any other prompt', async () => {
  const told: MetaLearnEvent[] = []
  const settings = { iterations: 3, innerSteps: 2, metaStepSize: 0.5 }
  const request = { id: 'meta', runId: 'meta-run', name: 'Two hotels', model, tasks: [hotels, csv('inns.csv')], recipe: prompt(), settings }
  await session.metaLearn(request, (event) => told.push(event))
  expect(told.filter(({ type }) => type === 'iteration')).toHaveLength(3)
  expect(told.at(-1)).toMatchObject({ type: 'phase', phase: 'finished' })
  const run = await getRun('meta-run')
  expect(run!.request.metaLearned).toEqual({ ...settings, tasks: ['hotels', 'inns'] })
  expect(run!.curve.steps.map(({ step }) => step)).toEqual([1, 2, 3])
  expect(await unfinishedRace()).toBeUndefined()
  const { virtualTokens: learnt } = (await loadCheckpoint('meta-run', 'best'))!.tensors

  const frozen = (recipe: Recipe): Recipe => ({ ...recipe, parts: recipe.parts.map((part) => ({ ...part, learningRate: 0 })) })
  const events = await race(
    raceOf('started', [
      frozen(prompt({ start: 'saved', savedRun: 'meta-run' })),
      prompt({ virtualTokens: 5, start: 'saved', savedRun: 'meta-run' }, 2)
    ])
  )
  expect((await loadCheckpoint('started-0', 'best'))!.tensors.virtualTokens!.data).toEqual(learnt!.data)
  expect(problems(events)).toEqual(['The prompt of "Two hotels" has 3 virtual tokens, and this run has 5: they are repeated.'])

  const { members, vote, mean, labels } = await session.ensemble({ runs: ['started-0', 'started-1'], split: 'validation' }, () => undefined)
  expect(labels).toEqual(['bad', 'good'])
  const best = (await getRun('started-0'))!.result!.validation
  expect(members[0]!.metrics.confusion).toEqual((best as typeof vote).confusion)
  expect([vote.examples, mean.examples]).toEqual([members[0]!.metrics.examples, members[0]!.metrics.examples])
})

test('a start that is not there, and an ensemble of what is no prompt, are refused in words', async () => {
  await expect(race(raceOf('lost', [prompt({ start: 'saved', savedRun: 'nowhere' })]))).rejects.toThrow('no longer in the library')
  const lora = { ...defaultRecipe('lora', 1), batchSize: 4 }
  await race(raceOf('mixed', [prompt(), lora], 1))
  await expect(session.ensemble({ runs: ['mixed-0', 'mixed-1'], split: 'test' }, () => undefined)).rejects.toThrow('Only soft prompts')
  await expect(race(raceOf('wrong', [prompt({ start: 'saved', savedRun: 'mixed-1' })]))).rejects.toThrow('has no soft prompt')
})
