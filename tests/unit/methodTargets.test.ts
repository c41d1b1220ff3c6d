// What each method trains of each family of models: which layers, which names, which shapes.
import { readFileSync } from 'node:fs'
import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it, test } from 'vitest'
import type { BaseShape, OptionValues } from '../../src/engine/methods/method'
import { getMethod, methods, optionsOf } from '../../src/engine/methods/registry'
import { moduleNames, targetProjections } from '../../src/engine/methods/targets'
import { trainedShapes } from '../../src/engine/methods/trained'
import { readArchitecture } from '../../src/engine/model/architectures'
import { weightShapes } from '../../src/engine/model/layout'
import { Random } from '../../src/engine/random'

beforeAll(() => tf.setBackend('cpu'))

const families = ['gpt2', 'gpt_neo', 'gpt_neox', 'llama', 'llama-untied', 'qwen2']
const baseOf = (family: string): BaseShape =>
  readArchitecture(JSON.parse(readFileSync(`tests/fixtures/golden/${family}/config.json`, 'utf8')))

/** Shapes of the first tensors, by name. */
async function shapesOf(base: BaseShape, id: string, options: OptionValues = {}): Promise<Record<string, number[]>> {
  const method = getMethod(id)
  const shapes = weightShapes(base.config, base.layout)
  const parameters = await method.initialParameters(
    {
      ...base,
      copyOf: (name) => tf.zeros([...shapes[name]!]),
      weightNames: Object.keys(shapes),
      embeddingsOf: (ids) => Promise.resolve(new Float32Array(ids.length * base.config.hiddenSize)),
      tensor: (values, shape) => tf.tensor(values, shape),
      encode: () => [5],
      labelWords: ['a', 'b', 'c'],
      saved: new Map(),
      random: new Random(1)
    },
    optionsOf(method, options)
  )
  const found = Object.fromEntries(Object.entries(parameters).map(([name, { shape }]) => [name, shape]))
  tf.dispose(parameters)
  return found
}

describe.each(families)('%s', (family) => {
  const base = baseOf(family)
  const chosen: [string, OptionValues][] = [
    ...Object.values(methods)
      .filter(({ trains }) => trains)
      .map(({ id }): [string, OptionValues] => [id, {}]),
    ['prefix', { virtualTokens: 7, reparameterise: true }],
    ['pTuning', { virtualTokens: 7, width: 9 }],
    ['lora', { rank: 3, targets: 'attention' }],
    ['lora', { rank: 3, targets: 'linear' }],
    ['lastLayers', { layers: 2, finalNorm: false }]
  ]

  test.each(chosen)('%s %j trains what it says', async (method, options) => {
    expect(trainedShapes([{ method, options }], { ...base, labels: 3 })).toEqual(await shapesOf(base, method, options))
  })

  it('each preset is meant by its own module names and by them alone', () => {
    for (const preset of ['queryValue', 'attention', 'linear']) {
      const paths = targetProjections(base.layout, preset).map(({ path }) => path)
      const named = targetProjections(base.layout, 'named', moduleNames(base.layout, paths).join(','))
      expect(
        named.map(({ path }) => path),
        preset
      ).toEqual(paths)
    }
  })
})

it.each([
  ['gpt2', 'queryValue', ['c_attn']],
  ['gpt2', 'attention', ['c_attn', 'attn.c_proj']],
  ['gpt_neox', 'attention', ['query_key_value', 'dense']],
  ['gpt_neo', 'linear', ['q_proj', 'k_proj', 'v_proj', 'out_proj', 'c_fc', 'c_proj']],
  ['llama', 'queryValue', ['q_proj', 'v_proj']],
  ['qwen2', 'linear', ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']]
])('of %s, %s are the modules %j', (family, preset, names) => {
  const { layout } = baseOf(family)
  const paths = targetProjections(layout, preset).map(({ path }) => path)
  expect(moduleNames(layout, paths)).toEqual(names)
})

describe('LoRA on named layers', () => {
  const { layout } = baseOf('gpt2')
  const named = (modules: string) => targetProjections(layout, 'named', modules).map(({ path }) => path.replace('transformer.h.', ''))

  it('takes whole names, last parts and stars, and no parts of words', () => {
    expect(named('mlp.c_proj')).toEqual(['0.mlp.c_proj', '1.mlp.c_proj'])
    expect(named(' c_fc , transformer.h.1.attn.c_attn,')).toEqual(['0.mlp.c_fc', '1.attn.c_attn', '1.mlp.c_fc'])
    expect(named('h.1.*')).toEqual(['1.attn.c_attn', '1.attn.c_proj', '1.mlp.c_fc', '1.mlp.c_proj'])
    expect(named('proj')).toEqual([])
    expect(named('c.proj')).toEqual([])
    expect(named('')).toEqual([])
  })

  it('is refused where the model has none of that name, with the names it has', async () => {
    const refused = shapesOf(baseOf('gpt2'), 'lora', { targets: 'named', modules: 'q_proj' })
    await expect(refused).rejects.toMatchObject({
      name: 'UserError',
      message: 'LoRA: this model has no linear layer that is called "q_proj".',
      advice: 'Its linear layers are called: c_attn, c_proj, c_fc.'
    })
  })
})

it('biases are the norms’ scales where a model has no bias, and every bias and nothing else where it has', async () => {
  expect(Object.keys(await shapesOf(baseOf('llama'), 'biases'))).toEqual([
    'model.layers.0.input_layernorm.weight',
    'model.layers.0.post_attention_layernorm.weight',
    'model.layers.1.input_layernorm.weight',
    'model.layers.1.post_attention_layernorm.weight',
    'model.norm.weight'
  ])
  const qwen2 = Object.keys(await shapesOf(baseOf('qwen2'), 'biases'))
  expect(qwen2.map((name) => name.split('.').slice(-2).join('.')).slice(0, 3)).toEqual(['q_proj.bias', 'k_proj.bias', 'v_proj.bias'])
  expect(qwen2).toHaveLength(6)
})

it('more last layers, or more virtual tokens, than the model has room for are refused', async () => {
  await expect(shapesOf(baseOf('llama'), 'lastLayers', { layers: 3 })).rejects.toThrow('3 last layers cannot be trained: this model has 2.')
  await expect(shapesOf(baseOf('llama'), 'prefix', { virtualTokens: 64 })).rejects.toThrow('A prefix of 64 leaves no room')
  await expect(shapesOf(baseOf('llama'), 'pTuning', { virtualTokens: 64 })).rejects.toThrow('64 virtual tokens leave no room')
})

it('last layers without the final norm leave it out', async () => {
  const names = Object.keys(await shapesOf(baseOf('llama'), 'lastLayers', { finalNorm: false }))
  expect(names.every((name) => name.startsWith('model.layers.1.'))).toBe(true)
  expect(names).toHaveLength(9)
})
