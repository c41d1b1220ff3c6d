// Runs as folders for PEFT and Transformers: which recipes fit which form, what is written, and what its card says.
import { describe, expect, it } from 'vitest'
import { exportTable, type ExportKind } from '../../src/engine/formats/exports'
import type { BaseFolder } from '../../src/engine/formats/huggingFace'
import { licenceOf, modelCard } from '../../src/engine/formats/modelCard'
import { readSafetensors, safetensorsHeader, tensorToFloat32, type StoredTensor } from '../../src/engine/formats/safetensors'
import { weightsOfBytes } from '../fixtures/weightsOfBytes'
import { readArchitecture } from '../../src/engine/model/architectures'
import { weightShapes } from '../../src/engine/model/layout'
import { cardOf } from '../../src/storage/card'
import { sampleRace, sampleRun } from '../fixtures/storageSamples'

const config = {
  model_type: 'llama',
  dtype: 'float16',
  torch_dtype: 'float16',
  hidden_size: 4,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 2,
  intermediate_size: 6,
  vocab_size: 7,
  max_position_embeddings: 8,
  tie_word_embeddings: true
}

const elements = (shape: readonly number[]): number => shape.reduce((product, side) => product * side, 1)

/** Stored as float16, without the prefix of the full names, and with a tied head that Transformers would not write. */
async function halfBase(): Promise<BaseFolder> {
  const { config: read, layout } = readArchitecture(config)
  const tensors = Object.entries(weightShapes(read, layout)).map(([name, shape]): [string, StoredTensor] => [
    name.replace(/^model\./, ''),
    { dtype: 'F16', shape: [...shape] }
  ])
  tensors.push(['lm_head.weight', { dtype: 'F16', shape: [7, 4] }])
  const header = safetensorsHeader(tensors)
  const numbers = tensors.flatMap(([, { shape }], t) => Array.from({ length: elements(shape) }, (_, i) => 0x3c00 + t + (i % 5)))
  const bytes = new Uint8Array([...header, ...new Uint8Array(Uint16Array.from(numbers).buffer)])
  return {
    config: read,
    layout,
    json: config,
    weights: await weightsOfBytes(bytes),
    others: [{ name: 'tokenizer.json', data: new Blob(['{}']), compress: true }]
  }
}

const part = (method: string) => ({ method, options: {} })
const row = (kind: ExportKind) => exportTable.find((candidate) => candidate.kind === kind)!
const bytesOf = async (files: { name: string; data: Blob }[], name: string) =>
  new Uint8Array(await files.find((file) => file.name === name)!.data.arrayBuffer())

describe('the forms of an export', () => {
  it.each<[string[], ExportKind[]]>([
    [['softPrompt'], ['peft']],
    [['pTuning'], ['peft']],
    [['lora'], ['peft', 'merged']],
    [['ia3'], ['peft', 'merged']],
    [['lastLayers'], ['huggingFace', 'changed']],
    [['allWeights'], ['huggingFace', 'changed']],
    [['handwrittenPrompt'], []],
    [
      ['handwrittenPrompt', 'lora'],
      ['peft', 'merged']
    ],
    [['softPrompt', 'lora'], ['peft']],
    [['softPrompt', 'lastLayers'], ['peft']],
    [
      ['lora', 'biases'],
      ['peft', 'merged']
    ],
    [['softPrompt', 'prefix'], []],
    [['ia3', 'lora'], ['merged']],
    [
      ['lora', 'ia3'],
      ['peft', 'merged']
    ]
  ])('of %j are %j, and the others say why not', (methods, kinds) => {
    const refusals = exportTable.map(({ kind, refusal }) => [kind, refusal(methods.map(part))] as const)
    expect(refusals.filter(([, refusal]) => refusal === undefined).map(([kind]) => kind)).toEqual(kinds)
    for (const [, refusal] of refusals) if (refusal !== undefined) expect(refusal).toMatch(/^\S.*\.$/)
  })
})

describe('a model’s folder', () => {
  const name = 'model.layers.0.mlp.down_proj.weight'
  const trained = { shape: [4, 6], data: Float32Array.from({ length: 24 }, (_, i) => i / 3) }

  it('keeps the bits of what was not tuned, and all bits of what was', async () => {
    const base = await halfBase()
    const files = await row('huggingFace').files({ parts: [part('lastLayers')], tensors: { [name]: trained }, base, baseName: 'tiny' })
    expect(files.map((file) => file.name)).toEqual(['config.json', 'model.safetensors', 'tokenizer.json'])
    const file = readSafetensors(await bytesOf(files, 'model.safetensors'))
    expect([...file.tensors.keys()].sort()).toEqual(Object.keys(weightShapes(base.config, base.layout)).sort())
    expect(tensorToFloat32(file, name)).toEqual(trained.data)
    for (const [other, { dtype, begin, end }] of file.tensors) {
      expect(dtype).toBe(other === name ? 'F32' : 'F16')
      if (other !== name) expect(file.bytes.slice(begin, end)).toEqual(await base.weights.read(other.replace(/^model\./, '')))
      else expect(begin % 4).toBe(0)
    }
    const json: unknown = JSON.parse(new TextDecoder().decode(await bytesOf(files, 'config.json')))
    expect(json).toMatchObject({ dtype: 'float32', hidden_size: 4 })
    expect(json).not.toHaveProperty('torch_dtype')
  })

  it('can hold the changed tensors alone', async () => {
    const subject = { parts: [part('lastLayers')], tensors: { [name]: trained }, base: await halfBase(), baseName: 'tiny' }
    const files = await row('changed').files(subject)
    expect(files.map((file) => file.name)).toEqual(['changed.safetensors'])
    expect([...readSafetensors(await bytesOf(files, 'changed.safetensors')).tensors.keys()]).toEqual([name])
  })

  it('stands beside the adapters of a hybrid that tunes weights too', async () => {
    const tensors = { [name]: trained, virtualTokens: { shape: [2, 4], data: new Float32Array(8) } }
    const subject = { parts: [part('lastLayers'), part('softPrompt')], tensors, base: await halfBase(), baseName: 'tiny' }
    const files = await row('peft').files(subject)
    expect(files.map((file) => file.name)).toEqual([
      'model/config.json',
      'model/model.safetensors',
      'model/tokenizer.json',
      'softPrompt/adapter_config.json',
      'softPrompt/adapter_model.safetensors'
    ])
    const adapter = new TextDecoder().decode(await bytesOf(files, 'softPrompt/adapter_config.json'))
    expect(JSON.parse(adapter)).toMatchObject({ base_model_name_or_path: 'model', peft_type: 'PROMPT_TUNING' })
    expect(row('peft').load(subject).slice(2)).toEqual([
      'model = AutoModelForCausalLM.from_pretrained("model", dtype="float32")',
      'model = PeftModel.from_pretrained(model, "softPrompt")'
    ])
  })
})

describe('a model card', () => {
  const subject = {
    ...cardOf(sampleRun, sampleRace),
    about: 'A run.',
    task: { name: 'reviews', licence: 'CC0-1.0', template: '```{text}\nSentiment:', labels: [{ name: 'good', word: ' good' }] },
    library: 'peft' as const,
    load: ['import peft']
  }

  it('says how it was made, what came out beside the untrained model, and how to load it', () => {
    const card = modelCard(subject)
    expect(card).toMatch(/^---\nbase_model: "tuneground-2m"\nlibrary_name: peft\n/)
    expect(card).toContain('```python\nimport peft\n```')
    expect(card).toContain('    ```{text}\n    Sentiment:')
    expect(card).toContain('- Label good: answered as " good"')
    expect(card).toContain('- Soft prompt: virtualTokens 20, start text, text NaN')
    expect(card).toContain('| Accuracy | 0.667 | 0.550 | 0.667 |')
    expect(card).toContain('| ROC-AUC | not defined |')
    expect(card).toContain('3.5000 before, 3.7500 after, 3.5000 with the adapter off')
    expect(card).toContain('- Base model: not known')
    expect(card).toContain('- Data: CC0-1.0')
  })

  it('tells stages, what it started from, and that nothing was tested', () => {
    const { result: _, ...rest } = subject
    const [only] = subject.recipe.parts
    const recipe = { ...subject.recipe, parts: [{ ...only!, window: { from: 0, to: 0.5 } }] }
    const card = modelCard({ ...rest, recipe, startedFrom: 'an imported PEFT adapter' })
    expect(card).toContain('from 0 % to 50 % of the budget')
    expect(card).toContain('- Started from: an imported PEFT adapter')
    expect(card).toContain('nothing was tested')
  })

  it.each([
    ['---\nlicense: apache-2.0\n---\n# A', 'apache-2.0'],
    ['| text | licence |\n\nIts own. Licence of the weights: CC BY-SA 4.0. It is a toy.', 'CC BY-SA 4.0'],
    ['- **Licence**: CC0-1.0.\n', 'CC0-1.0'],
    ['No word of it.', undefined]
  ])('reads the licence of %j', (card, licence) => {
    expect(licenceOf(card)).toBe(licence)
  })
})
