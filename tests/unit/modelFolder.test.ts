// Model folders: what makes one up, and what is said of those that cannot be opened.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { UserError } from '../../src/engine/errors'
import { readSafetensors, tensorToFloat32 } from '../../src/engine/formats/safetensors'
import { allModelFileNames, modelFileNames, openModelFolder } from '../../src/engine/model/modelFolder'
import { createTokenizer } from '../../src/engine/tokenizer/tokenizer'
import { bfloat16, filesOf, rawSafetensors, sharded, tinyFolder, without, type Folder } from './modelFolders'

const open = (folder: Folder) => openModelFolder(filesOf(folder))
const config = JSON.parse(tinyFolder['config.json'] as string) as Record<string, unknown>

describe('a folder that can be opened', () => {
  test('is read by its headers: sizes, tokenizer, card, and tensors when they are asked for', async () => {
    const whole = readSafetensors(tinyFolder['model.safetensors'] as Uint8Array)
    const folder = await open(tinyFolder)
    expect(folder).toMatchObject({ parameters: 8192 * 16 + 3 * 16 + 4 * 256 + 3 * 512, card: '# Tiny\n\nMade by the tests.' })
    expect(folder.tokenizer.encode('Sentiment: positive').length).toBeGreaterThan(1)
    const expected = tensorToFloat32(whole, 'model.norm.weight')
    expect(new Float32Array((await folder.weights.read('model.norm.weight')).slice().buffer)).toEqual(expected)
  })

  test('may hold its weights in shards', async () => {
    const folder = sharded(tinyFolder, 3)
    expect((await allModelFileNames(filesOf(folder))).filter((name) => name.endsWith('.safetensors'))).toHaveLength(3)
    const one = await open(tinyFolder)
    const three = await open(folder)
    expect(three.parameters).toBe(one.parameters)
    for (const name of one.weights.tensors.keys()) {
      expect(Buffer.compare(await three.weights.read(name), await one.weights.read(name))).toBe(0)
    }
  })

  test('may hold bfloat16', async () => {
    expect((await open(bfloat16(tinyFolder))).weights.tensors.get('model.norm.weight')?.dtype).toBe('BF16')
  })

  test('may have vocab.json and merges.txt in place of tokenizer.json', async () => {
    const json = JSON.parse(readFileSync('tests/fixtures/golden/tokenizers/gpt2-bpe/tokenizer.json', 'utf8')) as {
      model: { vocab: Record<string, number>; merges: (string | string[])[] }
    }
    const merges = json.model.merges.map((pair) => (typeof pair === 'string' ? pair : pair.join(' ')))
    const folder = {
      ...without(tinyFolder, 'tokenizer.json', 'tokenizer_config.json'),
      'vocab.json': JSON.stringify(json.model.vocab),
      'merges.txt': `#version: 0.2\n${merges.join('\n')}\n`
    }
    const built = (await open(folder)).tokenizer
    const original = createTokenizer(json, {})
    for (const text of ['Hello world', " it's 12 o'clock\n\n  now", 'naïve — ünïcode 東京 🙂', '<|endoftext|>']) {
      expect(built.encode(text)).toEqual(original.encode(text))
    }
  })
})

describe('a folder that cannot be opened says why', () => {
  const weights = tinyFolder['model.safetensors'] as Uint8Array
  const named = (...names: string[]) => ['config.json', 'tokenizer.json', ...names]
  test.each([
    [named('model-q4.gguf'), 'GGUF'],
    [named('pytorch_model.bin'), 'pickles'],
    [named('adapter_model.safetensors'), 'adapter'],
    [named('notes.txt'), 'no model.safetensors'],
    [['config.json', 'model.safetensors', 'spiece.model'], 'SentencePiece'],
    [['tokenizer.json', 'model.safetensors'], 'no config.json']
  ])('%j', (names, message) => {
    expect(() => modelFileNames(names)).toThrow(message)
    expect(() => modelFileNames(names)).toThrow(UserError)
  })

  const index = JSON.parse(sharded(tinyFolder, 2)['model.safetensors.index.json'] as string) as { weight_map: Record<string, string> }
  const lying = (change: Record<string, string>) => ({
    ...sharded(tinyFolder, 2),
    'model.safetensors.index.json': JSON.stringify({ weight_map: { ...index.weight_map, ...change } })
  })
  const withConfig = (change: object) => ({ ...tinyFolder, 'config.json': JSON.stringify({ ...config, ...change }) })
  test.each<[string, Folder, string]>([
    ['another architecture', withConfig({ model_type: 'mamba' }), '"mamba"'],
    ['a quantised config', withConfig({ quantization_config: { quant_method: 'gptq' } }), 'quantization_config'],
    ['a sliding window', withConfig({ sliding_window: 32, use_sliding_window: true, model_type: 'qwen2' }), 'sliding_window'],
    ['weights of another size', withConfig({ hidden_size: 32, head_dim: 16 }), 'do not fit its config.json'],
    ['a smaller vocabulary than its tokenizer', withConfig({ vocab_size: 100 }), 'do not fit'],
    ['a cut config', { ...tinyFolder, 'config.json': '{"model_type": "lla' }, 'config.json cannot be used'],
    ['cut weights', { ...tinyFolder, 'model.safetensors': weights.subarray(0, -4) }, 'too short'],
    ['quantised weights', { ...tinyFolder, 'model.safetensors': quantised() }, 'quantised: "model.norm.qweight"'],
    ['an index that names a file elsewhere', lying({ 'model.norm.weight': '../secret.safetensors' }), '../secret'],
    ['an index that names a missing file', lying({ 'model.norm.weight': 'model-9.safetensors' }), 'model-9.safetensors'],
    ['an index with the wrong file', lying({ 'model.norm.weight': otherShard('model.norm.weight') }), 'expects in'],
    ['an index with a tensor too many', lying({ ghost: 'model-00001-of-00002.safetensors' }), '"ghost"']
  ])('%s', async (_, folder, message) => {
    const error = await open(folder).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(UserError)
    expect((error as UserError).message).toContain(message)
  })

  function quantised(): Uint8Array {
    return rawSafetensors({ 'model.norm.qweight': { dtype: 'I32', shape: [4], data_offsets: [0, 16] } }, new Uint8Array(16))
  }

  function otherShard(tensor: string): string {
    return [...new Set(Object.values(index.weight_map))].find((shard) => shard !== index.weight_map[tensor])!
  }
})
