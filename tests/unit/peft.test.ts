// Adapters in PEFT's files: which options and tensors they become, and what does not fit is refused in words.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { exportPeft, importPeft, type PeftFiles } from '../../src/engine/formats/peft'
import { readSafetensors, tensorToFloat32, writeSafetensors } from '../../src/engine/formats/safetensors'
import { weightChanges } from '../../src/engine/methods/merge'
import { readArchitecture } from '../../src/engine/model/architectures'

const root = 'tests/fixtures/golden'

const baseOf = (model: string) => ({
  ...readArchitecture(JSON.parse(readFileSync(join(root, model, 'config.json'), 'utf8'))),
  name: model
})

function adapterOf(model: string, kind: string): PeftFiles {
  const read = (file: string) => new Uint8Array(readFileSync(join(root, model, 'adapters', kind, file)))
  return { 'adapter_config.json': read('adapter_config.json'), 'adapter_model.safetensors': read('adapter_model.safetensors') }
}

type Json = Record<string, unknown>

const configOf = (files: PeftFiles): Json => JSON.parse(new TextDecoder().decode(files['adapter_config.json'])) as Json

const withConfig = (files: PeftFiles, changes: Json): PeftFiles => ({
  ...files,
  'adapter_config.json': new TextEncoder().encode(JSON.stringify({ ...configOf(files), ...changes }))
})

type Tensors = Record<string, { shape: number[]; data: Float32Array }>

function withTensors(files: PeftFiles, change: (tensors: Tensors) => Tensors): PeftFiles {
  const file = readSafetensors(files['adapter_model.safetensors'])
  const tensors = Object.fromEntries([...file.tensors].map(([name, { shape }]) => [name, { shape, data: tensorToFloat32(file, name) }]))
  return { ...files, 'adapter_model.safetensors': writeSafetensors(change(tensors)) }
}

const llama = baseOf('llama')

it('reads rank, alpha and places of LoRA into options', () => {
  expect(importPeft(adapterOf('gpt2', 'lora'), baseOf('gpt2')).recipePart).toMatchObject({
    method: 'lora',
    options: { rank: 3, alpha: 6, targets: 'queryValue', rankStabilised: false }
  })
})

it('keeps the dropout of LoRA both ways', () => {
  const { recipePart, tensors } = importPeft(withConfig(adapterOf('gpt2', 'lora'), { lora_dropout: 0.1 }), baseOf('gpt2'))
  expect(recipePart.options.dropout).toBe(0.1)
  expect(configOf(exportPeft(recipePart, tensors, baseOf('gpt2'))).lora_dropout).toBe(0.1)
})

it('names the modules of LoRA where no preset means the same, so that no others are meant', () => {
  const base = baseOf('gpt2')
  const target = { shape: [1, 1], data: new Float32Array(1) }
  const part = { method: 'lora', options: { rank: 1, targets: 'named', modules: 'attn.c_proj, h.1.mlp.*' } }
  const paths = ['h.0.attn.c_proj', 'h.1.attn.c_proj', 'h.1.mlp.c_fc', 'h.1.mlp.c_proj'].map((path) => `transformer.${path}`)
  const tensors: Tensors = Object.fromEntries(paths.flatMap((path) => ['A', 'B'].map((side) => [`${path}.lora_${side}.weight`, target])))
  const { target_modules: modules } = configOf(exportPeft(part, tensors, base))
  expect(modules).toEqual(['1.mlp.c_fc', '1.mlp.c_proj', 'attn.c_proj'])
})

it('takes a finished P-tuning prompt for a soft prompt', () => {
  const files = withConfig(adapterOf('llama', 'prompt'), { peft_type: 'P_TUNING' })
  const { recipePart, tensors } = importPeft(files, llama)
  expect(recipePart).toMatchObject({ method: 'softPrompt', options: { virtualTokens: 5 } })
  expect(tensors).toEqual(importPeft(adapterOf('llama', 'prompt'), llama).tensors)
})

it('writes the prompt that a P-tuning network makes, with the fields of its network', () => {
  const filled = (shape: number[], value: number) => ({ shape, data: new Float32Array(shape[0]! * (shape[1] ?? 1)).fill(value) })
  const tensors: Tensors = {
    'promptEncoder.embedding': filled([2, 32], 0.5),
    'promptEncoder.mlp.0.weight': filled([3, 32], 0.25),
    'promptEncoder.mlp.0.bias': { shape: [3], data: Float32Array.of(1, -10, 0) },
    'promptEncoder.mlp.2.weight': filled([3, 3], 1),
    'promptEncoder.mlp.2.bias': filled([3], -8),
    'promptEncoder.mlp.4.weight': filled([32, 3], 2),
    'promptEncoder.mlp.4.bias': filled([32], 0.5)
  }
  const files = exportPeft({ method: 'pTuning', options: { virtualTokens: 2, width: 3 } }, tensors, llama)
  expect(configOf(files)).toMatchObject({
    peft_type: 'P_TUNING',
    num_virtual_tokens: 2,
    token_dim: 32,
    encoder_hidden_size: 3,
    encoder_reparameterization_type: 'MLP'
  })
  // 32 x 0.5 x 0.25 = 4; rectified 5, 0, 4; sums 9 - 8 = 1; 3 x 1 x 2 + 0.5.
  const { virtualTokens } = importPeft(files, llama).tensors
  expect(virtualTokens).toEqual(filled([2, 32], 6.5))
})

it('refuses what it cannot compute, and says what it is', () => {
  const lora = adapterOf('llama', 'lora')
  const refused = (files: PeftFiles, message: string, base = llama) =>
    expect(() => importPeft(files, base)).toThrow(
      expect.objectContaining({ name: 'UserError', message: expect.stringContaining(message) as string })
    )
  refused(withConfig(lora, { peft_type: 'ADALORA' }), 'of the kind "ADALORA"')
  refused(withConfig(lora, { peft_type: 'toString' }), 'of the kind "toString"')
  refused(withConfig(lora, { peft_type: undefined }), 'peft_type should be')
  refused(withConfig(lora, { use_dora: true }), 'use_dora is "true"')
  refused(withConfig(lora, { rank_pattern: { q_proj: 4 } }), 'rank_pattern')
  refused(withConfig(lora, { bias: 'all' }), 'bias')
  refused(withConfig(lora, { modules_to_save: ['lm_head'] }), 'modules_to_save')
  refused(withConfig(lora, { r: 0 }), 'r should be >=1')
  refused(withConfig(lora, { lora_dropout: 1 }), 'lora_dropout should be <=0.99')
  refused(withConfig(lora, { r: 4 }), 'has the shape [3, 32], and [4, 32] is needed')
  refused(lora, 'does not fit the model', baseOf('gpt2'))
  refused(adapterOf('gpt2', 'ia3'), 'does not fit the model')
  refused(adapterOf('gpt2', 'prefix'), 'has the shape [5, 128], and [5, 64] is needed')
  refused({ ...lora, 'adapter_config.json': new TextEncoder().encode('[1]') }, 'not a JSON object')
  refused({ ...lora, 'adapter_config.json': Uint8Array.of(0xff) }, 'not a JSON object')
  refused({ ...lora, 'adapter_model.safetensors': lora['adapter_model.safetensors'].slice(0, 90) }, 'safetensors')
  refused(
    withTensors(lora, ({ ['base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight']: _, ...rest }) => rest),
    'q_proj.lora_B.weight" is missing'
  )
  refused(
    withTensors(lora, () => ({})),
    'holds no tensors'
  )
  refused(
    withTensors(adapterOf('llama', 'ia3'), (tensors) => ({ ...tensors, strange: { shape: [1], data: new Float32Array(1) } })),
    'it has "strange"'
  )
})

it('works no prompt into the weights', () => {
  const merge = () => weightChanges([{ method: 'softPrompt', options: {} }], {}, llama)
  expect(merge).toThrow(expect.objectContaining({ name: 'UserError', advice: 'Only LoRA and (IA)³ can.' }))
})

it('makes no adapter of methods that change the model itself', () => {
  expect(() => exportPeft({ method: 'biases', options: {} }, {}, llama)).toThrow('makes no adapter that PEFT could read')
})
