// Loading: what is refused before a byte is read, that nothing stays behind a failure, and how little of a big model the JS heap holds.
import * as tf from '@tensorflow/tfjs'
import { cdp } from 'vitest/browser'
import { beforeAll, describe, expect, test } from 'vitest'
import { weightsOfArrays, type WeightSource } from '../../src/engine/formats/weightSource'
import { readArchitecture } from '../../src/engine/model/architectures'
import { createDecoder } from '../../src/engine/model/createDecoder'
import { weightShapes } from '../../src/engine/model/layout'
import { backends, useBackend } from './backend'
import { randomWeights, tinyLlama } from './tinyModel'

/** A source that counts what is read of another. */
function counted(source: WeightSource): WeightSource & { reads: string[] } {
  const reads: string[] = []
  return { ...source, reads, read: (name) => (reads.push(name), source.read(name)) }
}

describe.each(backends)('%s', (backend) => {
  beforeAll(() => useBackend(backend))

  test('what the header tells is refused before a byte is read', async () => {
    const device = { ...(await useBackend(backend)), maximumBufferBytes: 4 * 50 * 20 - 1 }
    const whole = randomWeights(tinyLlama)
    const { 'model.norm.weight': norm, ...short } = whole
    const halved = weightsOfArrays(whole)
    halved.tensors.get('model.norm.weight')!.dtype = 'I8'
    for (const [source, reason, options] of [
      [weightsOfArrays(short), 'lack model.norm.weight', {}],
      [weightsOfArrays({ ...short, 'model.norm.weight': { ...norm!, shape: [21] } }), 'model.norm.weight is [21], not [20]', {}],
      [halved, '"model.norm.weight" is stored as I8', {}],
      [weightsOfArrays(whole), 'model.embed_tokens.weight needs', { device }]
    ] as const) {
      const asked = counted(source)
      await expect(createDecoder(tinyLlama, asked, options)).rejects.toThrow(reason)
      expect(asked.reads).toEqual([])
    }
  })

  test('a source that fails in the middle leaves no tensor', async () => {
    const source = counted(weightsOfArrays(randomWeights(tinyLlama)))
    const before = tf.memory().numTensors
    const read = (name: string): Promise<Uint8Array> =>
      source.reads.length === 7 ? Promise.reject(new Error('The network is gone.')) : source.read(name)
    await expect(createDecoder(tinyLlama, { ...source, read })).rejects.toThrow('The network is gone.')
    expect(source.reads).toHaveLength(7)
    expect(tf.memory().numTensors).toBe(before)
  })
})

test('of a model of 400 MB the JS heap never holds 150', async () => {
  await useBackend('webgpu')
  const config = {
    ...tinyLlama,
    hidden_size: 1024,
    num_hidden_layers: 4,
    num_key_value_heads: 4,
    head_dim: 256,
    intermediate_size: 5700,
    vocab_size: 14000
  }
  const { config: read, layout } = readArchitecture(config)
  const shapes = Object.entries(weightShapes(read, layout)).map(([name, shape]) => [name, [...shape]] as const)
  const lengths = new Map(shapes.map(([name, shape]) => [name, shape.reduce((product, side) => product * side, 1)]))
  expect(4 * [...lengths.values()].reduce((sum, length) => sum + length, 0)).toBeGreaterThan(400e6)
  const session = cdp() as unknown as { send(method: string): Promise<{ usedSize: number; backingStorageSize: number }> }
  const heap = async (): Promise<number> => {
    await session.send('HeapProfiler.collectGarbage')
    const { usedSize, backingStorageSize } = await session.send('Runtime.getHeapUsage')
    return usedSize + backingStorageSize
  }
  const before = await heap()
  let highest = 0
  let state = 1
  const decoder = await createDecoder(config, {
    tensors: new Map(shapes.map(([name, shape]) => [name, { dtype: 'F32', shape: [...shape] }])),
    read: async (name) => {
      const values = new Float32Array(lengths.get(name)!)
      for (let i = 0; i < values.length; i++) values[i] = ((state = (Math.imul(state, 1664525) + 1013904223) | 0) / 2 ** 32) * 0.04
      highest = Math.max(highest, (await heap()) - before)
      return new Uint8Array(values.buffer)
    }
  })
  expect(highest).toBeGreaterThan(4 * lengths.get(layout.embedding)! * 0.9)
  expect(highest).toBeLessThan(150e6)
  expect((await heap()) - before).toBeLessThan(10e6)
  const last = decoder.weight('model.layers.3.mlp.down_proj.weight')
  expect(Math.abs((await last.slice([1023, 5699], [1, 1]).data())[0]!)).toBeLessThan(0.02)
  decoder.dispose()
})
