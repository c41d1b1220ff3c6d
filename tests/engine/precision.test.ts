// Frozen weights that stay packed: the same numbers as in float32, in the bytes that they promise, and nothing left behind.
import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, test } from 'vitest'
import { weightsOfArrays, type WeightSource } from '../../src/engine/formats/weightSource'
import { float16ToFloat32, float32ToFloat16 } from '../../src/engine/halfFloats'
import { createDecoder } from '../../src/engine/model/createDecoder'
import type { Decoder } from '../../src/engine/model/decoder'
import type { Precision } from '../../src/engine/model/precision'
import { Trainer } from '../../src/engine/training/trainer'
import { backends, useBackend } from './backend'
import { randomWeights, tinyLlama } from './tinyModel'
import { alive, tinyRecipe } from './tinyRace'

/** The random weights of a config in a file of half precision. */
function halfFile(config: unknown): WeightSource {
  const weights = Object.entries(randomWeights(config)).map(
    ([name, { shape, data }]) => [name, { shape: [...shape], data: float32ToFloat16(data) }] as const
  )
  const held = new Map(weights)
  return {
    tensors: new Map(weights.map(([name, { shape }]) => [name, { dtype: 'F16', shape: [...shape] }])),
    read: (name) => Promise.resolve(new Uint8Array(held.get(name)!.data.buffer))
  }
}

/** The same numbers as float32. */
function widenedFile(config: unknown): WeightSource {
  const widened = (data: Float32Array): Float32Array => float16ToFloat32(float32ToFloat16(data))
  return weightsOfArrays(
    Object.fromEntries(Object.entries(randomWeights(config)).map(([name, { shape, data }]) => [name, { shape, data: widened(data) }]))
  )
}

const batch = {
  size: 2,
  time: 16,
  inputIds: Int32Array.from({ length: 32 }, (_, i) => (7 * i) % 50),
  lengths: Int32Array.of(16, 9),
  labelRows: Int32Array.of(15, 24),
  labelIds: Int32Array.of(20, 21),
  labelWeights: Float32Array.of(0.5, 0.5)
}

/** Losses of three steps. */
async function losses(decoder: Decoder, method: string): Promise<number[]> {
  const trainer = await Trainer.create({
    decoder,
    recipe: tinyRecipe(method),
    budget: { kind: 'steps', steps: 3 },
    encode: () => [5],
    labelWords: ['yes', 'no']
  })
  const found: number[] = []
  for (let step = 0; step < 3; step++) {
    const record = await trainer.step(batch)
    if (record === 'diverged') throw new Error('It diverged.')
    found.push(record.loss)
  }
  trainer.dispose()
  return found
}

describe.each(backends)('%s', (backend) => {
  beforeAll(() => useBackend(backend))

  test('a model of half precision trains as its float32 form does', async () => {
    const before = alive()
    const exact = await createDecoder(tinyLlama, widenedFile(tinyLlama))
    const packed = await createDecoder(tinyLlama, halfFile(tinyLlama))
    for (const method of ['softPrompt', 'allWeights']) {
      const expected = await losses(exact, method)
      ;(await losses(packed, method)).forEach((loss, step) => expect(Math.abs(loss / expected[step]! - 1), method).toBeLessThan(2e-4))
      expect(expected[2]).not.toBe(expected[0])
    }
    expect(packed.parameters).toBe(exact.parameters)
    if (backend === 'webgpu') expect(packed.bytes).toBeLessThan(0.6 * exact.bytes)
    else expect(packed.bytes).toBe(exact.bytes)
    packed.dispose()
    exact.dispose()
    expect(alive()).toEqual(before)
  })

  test('each choice of precision is held, and is as near as it says', async () => {
    const loss = async (precision: Precision): Promise<{ loss: number; bytes: number }> => {
      const decoder = await createDecoder(tinyLlama, weightsOfArrays(randomWeights(tinyLlama)), { precision })
      const value = decoder.loss(batch)
      const found = { loss: (await value.data())[0]!, bytes: decoder.bytes }
      tf.dispose(value)
      decoder.dispose()
      return found
    }
    const float32 = await loss('float32')
    expect(await loss('stored')).toEqual(float32)
    if (backend !== 'webgpu') return expect(await loss('int8')).toEqual(float32)
    const [float16, int8] = [await loss('float16'), await loss('int8')]
    expect(Math.abs(float16.loss / float32.loss - 1)).toBeLessThan(1e-3)
    expect(Math.abs(int8.loss / float32.loss - 1)).toBeLessThan(0.03)
    expect(int8.loss).not.toBe(float32.loss)
    expect(int8.bytes).toBeLessThan(float16.bytes)
  })

  test('numbers that float16 cannot hold are refused in words, and nothing stays', async () => {
    const weights = randomWeights(tinyLlama)
    weights['model.layers.1.mlp.up_proj.weight']!.data[5] = 1e6
    const before = alive()
    const load = createDecoder(tinyLlama, weightsOfArrays(weights), { precision: 'float16' })
    if (backend === 'webgpu')
      await expect(load).rejects.toMatchObject({ name: 'UserError', advice: expect.stringContaining('float32') as string })
    else (await load).dispose()
    expect(alive()).toEqual(before)
  })
})
