// PEFT's adapters on our decoder: they give the loss that the fixture's training led to, ours come back with the same logits, and so do merged weights.
import * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exportPeft, importPeft, type PeftFiles } from '../../src/engine/formats/peft'
import { readSafetensors } from '../../src/engine/formats/safetensors'
import { weightChanges } from '../../src/engine/methods/merge'
import type { OptionValues } from '../../src/engine/methods/method'
import { tunedAdaptation } from '../../src/engine/methods/tuned'
import type { Batch } from '../../src/engine/model/batch'
import type { Decoder } from '../../src/engine/model/decoder'
import { Random } from '../../src/engine/random'
import type { StoredTensors } from '../../src/engine/training/checkpoint'
import type { RecipePart } from '../../src/engine/training/recipe'
import { backends, useBackend } from '../engine/backend'
import { listFolders, listModels, loadModel, readBytes, relativeError, toBatch, type GoldenExpectation } from './golden'
import { expectTensors, finalTensors } from './goldenTensors'
import { trajectory } from './trajectory'

const { own, supported } = await listModels()
const models = await Promise.all(
  supported.map(async (folder) => ({
    folder,
    kinds: (await listFolders(folder)).folders.includes('adapters') ? (await listFolders(`${folder}/adapters`)).folders : []
  }))
)

test('every model has an adapter of every kind', () => {
  if (own) for (const { kinds } of models) expect(kinds).toEqual(['ia3', 'lora', 'prefix', 'prompt'])
})

async function readAdapter(path: string): Promise<PeftFiles> {
  const [config, model] = await Promise.all(
    ['adapter_config.json', 'adapter_model.safetensors'].map((file) => readBytes(`${path}/${file}`))
  )
  return { 'adapter_config.json': config!, 'adapter_model.safetensors': model! }
}

/** Module lists are sets in PEFT: their order means nothing. */
function configOf(files: PeftFiles): Record<string, unknown> {
  const config = JSON.parse(new TextDecoder().decode(files['adapter_config.json'])) as Record<string, unknown>
  for (const list of [config.target_modules, config.feedforward_modules]) if (Array.isArray(list)) list.sort()
  return config
}

interface Answers {
  loss: number
  logits: Float32Array
}

async function answersOf(decoder: Decoder, batch: Batch, part: RecipePart, tensors: StoredTensors): Promise<Answers> {
  const tuned = tunedAdaptation([part], tensors, decoder.config)
  const [loss, logits] = tf.tidy(() => [
    decoder.loss(batch, tuned.adaptation),
    decoder.logits(decoder.hiddenStates(batch, tuned.adaptation), tuned.adaptation)
  ])
  const answers = { loss: (await loss.data())[0]!, logits: (await logits.data()).slice() as Float32Array }
  tf.dispose([loss, logits])
  tuned.dispose()
  return answers
}

const ours: [method: string, options: OptionValues][] = [
  ['softPrompt', { virtualTokens: 3 }],
  ['pTuning', { virtualTokens: 3, width: 12 }],
  ['prefix', { virtualTokens: 3 }],
  ['prefix', { virtualTokens: 3, reparameterise: true }],
  ['lora', { rank: 2, targets: 'linear', rankStabilised: true }],
  ['ia3', {}]
]

describe.each(backends)('%s', (backend) => {
  beforeAll(() => useBackend(backend))

  describe.each(models)('$folder', ({ folder, kinds }) => {
    let decoder: Decoder
    let expected: GoldenExpectation
    beforeAll(async () => {
      ;({ decoder, expected } = await loadModel(folder))
    })
    afterAll(() => decoder.dispose())

    test.each(kinds)('an adapter of %s holds the fixture’s last tensors and has the loss that they led to', async (kind) => {
      const { labels, losses } = expected[kind as 'prompt' | 'prefix' | 'lora' | 'ia3']
      const { recipePart, tensors } = importPeft(await readAdapter(`${folder}/adapters/${kind}`), decoder)
      const { loss } = await answersOf(decoder, toBatch(expected.batch, labels), recipePart, tensors)
      // The fixture holds the losses before each of ten steps, the adapter what they led to: one step further down a smooth curve.
      const [before, last] = losses.slice(-2) as [number, number]
      expect(Math.abs(loss - (last + (last - before))) / last).toBeLessThan(5e-3)
      expect(loss).toBeLessThan(last)
      expectTensors(tensors, finalTensors(kind, expected, decoder.config), 1e-6)
    })

    test.each(kinds)('an adapter of %s goes out with the bytes and the options that it came in with', async (kind) => {
      const files = await readAdapter(`${folder}/adapters/${kind}`)
      const { recipePart, tensors } = importPeft(files, decoder)
      const written = exportPeft(recipePart, tensors, { config: decoder.config, layout: decoder.layout, name: folder })
      expect(written['adapter_model.safetensors']).toEqual(files['adapter_model.safetensors'])
      expect(configOf(written)).toEqual(configOf(files))
      expect(Object.keys(configOf(written))).toEqual(Object.keys(configOf(files)))
    })

    test.each(kinds.filter((kind) => kind === 'lora' || kind === 'ia3'))(
      '%s worked into the weights gives the same logits',
      async (kind) => {
        const { recipePart, tensors } = importPeft(await readAdapter(`${folder}/adapters/${kind}`), decoder)
        const merged: StoredTensors = {}
        for (const [name, change] of weightChanges([recipePart], tensors, decoder)) {
          const { shape } = decoder.weight(name)
          merged[name] = { shape, data: change((await decoder.weight(name).data()).slice() as Float32Array) }
        }
        const batch = toBatch(expected.batch, 'labels')
        const beside = await answersOf(decoder, batch, recipePart, tensors)
        const within = await answersOf(decoder, batch, { ...recipePart, method: 'allWeights', options: {} }, merged)
        expect(relativeError(within.logits, beside.logits)).toBeLessThan(1e-5)
      }
    )

    test.each(ours)('%s %j goes to PEFT’s files and comes back with the same logits', async (method, options) => {
      const { tensors } = await trajectory(decoder, expected, { ...expected.prompt, losses: [] }, { method, options })
      const random = new Random(2)
      for (const { data } of Object.values(tensors)) data.forEach((value, i) => (data[i] = value + 0.1 * random.normal()))
      const part = { method, options, learningRate: 0, weightDecay: 0 }
      const files = exportPeft(part, tensors, { config: decoder.config, layout: decoder.layout, name: folder })
      const back = importPeft(files, decoder)
      const batch = toBatch(expected.batch, 'labels')
      const [before, after] = [
        await answersOf(decoder, batch, part, tensors),
        await answersOf(decoder, batch, back.recipePart, back.tensors)
      ]
      expect(relativeError(after.logits, before.logits)).toBeLessThan(1e-6)
      for (const { dtype } of readSafetensors(files['adapter_model.safetensors']).tensors.values()) expect(dtype).toBe('F32')
    })
  })
})
