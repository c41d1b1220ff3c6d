// Model folders made to hurt, by a seeded generator: a small honest model, and everything that a stranger may have done to it.
import { zipSync } from 'fflate'
import { writeSafetensors } from '../../src/engine/formats/safetensors'
import type { Random } from '../../src/engine/random'
import { rawSafetensors, sharded, without, type Folder } from './modelFolders'

const HIDDEN = 4
const letters = [...'abcdefghijklmnopqrstuvwxyz '].map((letter, id) => [letter, id] as const)

const config = {
  model_type: 'llama',
  hidden_size: HIDDEN,
  num_hidden_layers: 1,
  num_attention_heads: 1,
  intermediate_size: HIDDEN,
  vocab_size: letters.length,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true
}

const tokenizer = {
  version: '1.0',
  added_tokens: [] as unknown[],
  normalizer: null as unknown,
  pre_tokenizer: null as unknown,
  post_processor: null as unknown,
  decoder: null as unknown,
  model: { type: 'BPE', vocab: Object.fromEntries(letters) as Record<string, unknown>, merges: [] as unknown[] }
}

const weights = (() => {
  const tensor = (...shape: number[]) => ({ shape, data: new Float32Array(shape.reduce((product, size) => product * size, 1)) })
  const square = [
    'self_attn.q_proj',
    'self_attn.k_proj',
    'self_attn.v_proj',
    'self_attn.o_proj',
    'mlp.gate_proj',
    'mlp.up_proj',
    'mlp.down_proj'
  ]
  return writeSafetensors({
    'model.embed_tokens.weight': tensor(letters.length, HIDDEN),
    'model.norm.weight': tensor(HIDDEN),
    'model.layers.0.input_layernorm.weight': tensor(HIDDEN),
    'model.layers.0.post_attention_layernorm.weight': tensor(HIDDEN),
    ...Object.fromEntries(square.map((name) => [`model.layers.0.${name}.weight`, tensor(HIDDEN, HIDDEN)]))
  })
})()

export const honest: Folder = {
  'config.json': JSON.stringify(config),
  'tokenizer.json': JSON.stringify(tokenizer),
  'model.safetensors': weights
}

type Header = Record<string, { dtype: string; shape: unknown[]; data_offsets: unknown[] }>
type Change = (random: Random) => Folder

const header = JSON.parse(
  new TextDecoder().decode(weights.subarray(8, 8 + Number(new DataView(weights.buffer).getBigUint64(0, true))))
) as Header
const data = weights.subarray(8 + Number(new DataView(weights.buffer).getBigUint64(0, true)))
const whole = (random: Random, below: number): number => Math.floor(random.uniform() * below)
const oneOf = <T>(random: Random, choices: readonly T[]): T => choices[whole(random, choices.length)]!

const withWeights = (bytes: Uint8Array): Folder => ({ ...honest, 'model.safetensors': bytes })
const withConfig = (change: object): Folder => ({ ...honest, 'config.json': JSON.stringify({ ...config, ...change }) })
const withTokenizer = (change: Partial<Record<keyof typeof tokenizer, unknown>>): Folder => ({
  ...honest,
  'tokenizer.json': JSON.stringify({ ...tokenizer, ...change })
})
const withVocabulary = (change: object): Folder => withTokenizer({ model: { ...tokenizer.model, ...change } })

/** The header with one tensor's row changed. */
function withRow(random: Random, change: (row: Header[string], random: Random) => void): Folder {
  const changed = structuredClone(header)
  change(changed[oneOf(random, Object.keys(changed))]!, random)
  return withWeights(rawSafetensors(changed, data))
}

const strangeNumbers = [-1, -(2 ** 31), 1.5, 2 ** 53, 1e308, null, '4', [], {}, true]
const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)

/** Every kind of harm; each is asked for several folders. */
export const hostileKinds: Record<string, Change> = {
  'weights cut anywhere': (random) => withWeights(weights.subarray(0, whole(random, weights.length))),
  'weights with bytes behind': (random) => withWeights(new Uint8Array([...weights, ...new Uint8Array(1 + whole(random, 50))])),
  'a header of another length': (random) =>
    withWeights(rawSafetensors(header, data, oneOf(random, [0n, 1n, 2n ** 31n, 2n ** 53n, 2n ** 64n - 1n, 99_999_999n]))),
  'noise for a header': (random) =>
    withWeights(rawSafetensors(Buffer.from(Float64Array.from({ length: 40 }, () => random.uniform()).buffer).toString('latin1'), data)),
  'a header of ten million entries': () => withWeights(rawSafetensors(`{"a":[${'0,'.repeat(10_000_000)}0]}`, data)),
  'a header nested deep': (random) => withWeights(rawSafetensors(`{"a":${nested(1000 * (1 + whole(random, 1000)))}}`, data)),
  'a strange shape': (random) => withRow(random, (row) => (row.shape[0] = oneOf(random, strangeNumbers))),
  'strange offsets': (random) => withRow(random, (row) => (row.data_offsets[whole(random, 2)] = oneOf(random, strangeNumbers))),
  'overlapping tensors': (random) => withRow(random, (row) => (row.data_offsets = [0, 4 * HIDDEN * HIDDEN])),
  'another dtype': (random) =>
    withRow(random, (row) => (row.dtype = oneOf(random, ['I32', 'F8_E4M3', 'U8', 'F64', 'BOOL', 'Q4_0', '__proto__']))),
  'a tensor of another name': (random) => {
    const [name, ...others] = Object.keys(header)
    const renamed = {
      [oneOf(random, ['__proto__', 'constructor', 'x'.repeat(5000), ''])]: header[name!]!,
      ...Object.fromEntries(others.map((key) => [key, header[key]!]))
    }
    return withWeights(rawSafetensors(renamed, data))
  },
  'a config that is none': (random) => ({
    ...honest,
    'config.json': oneOf(random, ['', '[]', 'null', '7', '{"model_type":', nested(100_000), '\u0000', 'NaN'])
  }),
  'a config of a million fields': () => ({ ...honest, 'config.json': `{${'"a":0,'.repeat(140_000)}"b":0}` }),
  'sizes that are none': (random) =>
    withConfig({
      [oneOf(random, ['hidden_size', 'num_hidden_layers', 'num_attention_heads', 'intermediate_size', 'vocab_size'])]: oneOf(random, [
        0,
        2 ** 31 - 1,
        1_000_000,
        ...strangeNumbers
      ])
    }),
  'another kind of model': (random) => withConfig({ model_type: oneOf(random, ['mamba', '__proto__', 'toString', 'x'.repeat(100_000)]) }),
  'layers without end': (random) =>
    withConfig({
      model_type: 'gpt_neo',
      num_layers: 900,
      num_heads: 1,
      attention_types: [[Array(oneOf(random, [1, 900])).fill('local'), 2 ** 30]]
    }),
  'a shard index that lies': (random) => {
    const folder = sharded(honest, 2)
    const index = JSON.parse(folder['model.safetensors.index.json'] as string) as { weight_map: Record<string, unknown> }
    const name = oneOf(random, Object.keys(index.weight_map))
    index.weight_map[name] = oneOf(random, [
      '../model.safetensors',
      '/etc/passwd',
      'config.json',
      'model-9.safetensors',
      '',
      7,
      null,
      'a/b.safetensors'
    ])
    return { ...folder, 'model.safetensors.index.json': JSON.stringify(index) }
  },
  'a shard that is missing or cut': (random) => {
    const folder = sharded(honest, 2)
    const shard = oneOf(
      random,
      Object.keys(folder).filter((name) => name.endsWith('.safetensors'))
    )
    return random.uniform() < 0.5 ? without(folder, shard) : { ...folder, [shard]: (folder[shard] as Uint8Array).subarray(0, 20) }
  },
  'a shard index of a million files': () => ({
    ...without(honest, 'model.safetensors'),
    'model.safetensors.index.json': `{"weight_map":{${Array.from({ length: 20_000 }, (_, i) => `"${i}":"${i}.safetensors"`).join()}}}`
  }),
  'a tokenizer that is none': (random) => ({
    ...honest,
    'tokenizer.json': oneOf(random, ['', '[]', '{}', '{"model":7}', nested(50_000), '{"model":{"type":"BPE"}}', '\ud800'])
  }),
  'a vocabulary of millions': () => ({
    ...honest,
    'tokenizer.json': `{"model":{"type":"BPE","vocab":{${'"aaaaaa":0,'.repeat(6_000_000)}"b":1}}}`
  }),
  'ids that are none': (random) =>
    withVocabulary({ vocab: { ...tokenizer.model.vocab, z: oneOf(random, [...strangeNumbers, 0, 2 ** 24, 2 ** 32]) } }),
  'more tokens than the model knows': (random) =>
    withVocabulary({ vocab: { ...tokenizer.model.vocab, extra: letters.length + whole(random, 1000) } }),
  'merges that are none': (random) =>
    withVocabulary({ merges: oneOf<unknown>(random, [7, [7], [['a']], [['a', 'b', 'c']], { a: 1 }, [null]]) }),
  'added tokens that are none': (random) =>
    withTokenizer({
      added_tokens: oneOf<unknown>(random, [7, [7], [{ id: -1, content: 'x' }], [{ id: 1 }], [{ id: 1, content: 'x'.repeat(20_000) }]])
    }),
  'patterns that backtrack for ever': (random) => {
    const pattern = {
      Regex: oneOf(random, [
        '(a+)+$',
        '(a|a)*b',
        '(\\w+\\s?)*!',
        'a*a*a*b',
        '((a{0,9}){9}){9}b',
        '(.*)*x',
        '(a|b|ab)+c',
        '(a)\\1',
        '(',
        'a{99999}'
      ])
    }
    const split = { type: 'Split', pattern, behavior: 'Isolated', invert: false }
    return withTokenizer(
      oneOf(random, [
        { pre_tokenizer: split },
        { pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'Sequence', pretokenizers: [split] }] } },
        { normalizer: { type: 'Replace', pattern, content: '' } },
        { decoder: { type: 'Sequence', decoders: [{ type: 'Replace', pattern, content: '' }] } }
      ])
    )
  },
  'a normaliser that swells the text': () =>
    withTokenizer({ normalizer: { type: 'Replace', pattern: { String: 'a' }, content: 'a'.repeat(5_000_000) } }),
  'parts that do not exist': (random) =>
    withTokenizer({
      [oneOf(random, ['normalizer', 'pre_tokenizer', 'decoder', 'post_processor'])]: oneOf<unknown>(random, [
        { type: 'Evil' },
        { type: '__proto__' },
        { type: 7 }
      ])
    }),
  'weights of a kind that is never opened': (random) => ({
    ...without(honest, 'model.safetensors'),
    [oneOf(random, ['pytorch_model.bin', 'model.gguf', 'model.pt', 'tf_model.h5', 'adapter_model.safetensors', 'model.safetensors.exe'])]:
      'x'
  }),
  'a file that is missing': (random) => without(honest, oneOf(random, Object.keys(honest))),
  'a card that is no text': () => ({ ...honest, 'README.md': new Uint8Array([0xff, 0xfe, 0xfd]) })
}

/** Zip archives made to hurt, with an honest model's names in them. */
export const hostileZips: Record<string, (random: Random) => Uint8Array> = {
  'cut anywhere': (random) => {
    const zip = zipOf(honest)
    return zip.subarray(0, whole(random, zip.length))
  },
  'with bytes changed': (random) => {
    const zip = zipOf(honest)
    // In the middle lie the packed files, whose checksums are in the directory.
    for (let i = 0; i < 20; i++) zip[40 + whole(random, zip.length - 400)]! ^= 1 + whole(random, 255)
    return zip
  },
  'a bomb': () => zipOf({ ...honest, 'model.safetensors': new Uint8Array(30_000_000) }),
  'with paths outside': (random) =>
    zipOf(
      Object.fromEntries(Object.entries(honest).map(([name, content]) => [oneOf(random, ['../', '/', 'a/../../']) + name + '/x', content]))
    ),
  'of too many files': () => zipOf({ ...honest, ...Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`${i}.txt`, 'x'])) })
}

const zipOf = (folder: Folder): Uint8Array =>
  zipSync(Object.fromEntries(Object.entries(folder).map(([name, content]) => [name, new Uint8Array(Buffer.from(content as Uint8Array))])))
