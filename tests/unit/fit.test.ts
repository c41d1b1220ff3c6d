// Estimates of memory and time from shapes alone, and what is said where something does not fit.
import { expect, test } from 'vitest'
import { memoryReport } from '../../src/engine/device/limits'
import { readArchitecture } from '../../src/engine/model/architectures'
import { weightShapes } from '../../src/engine/model/layout'
import { defaultRecipe } from '../../src/engine/training/defaultRecipe'
import { forwardWork } from '../../src/engine/training/eta'
import { raceBytes, raceProblem, runProblem } from '../../src/engine/training/fit'
import { layersComputedAgain } from '../../src/engine/training/computedAgain'
import { estimateStep, evaluationBytes, weightBytes } from '../../src/engine/training/memoryEstimate'
import type { HeldBase } from '../../src/engine/training/stepMemory'
import { stepWork } from '../../src/engine/training/stepWork'

const gpt2 = readArchitecture({
  model_type: 'gpt2',
  n_embd: 768,
  n_layer: 12,
  n_head: 12,
  vocab_size: 50257,
  n_positions: 1024,
  bos_token_id: 50256,
  eos_token_id: 50256
})
const on = { ...gpt2, labels: 2 }
const tensors = Object.values(weightShapes(gpt2.config, gpt2.layout)).map((shape) => ({ dtype: 'F16' as const, shape: [...shape] }))
const base = weightBytes(tensors, 'stored', true)
const batch = { size: 8, time: 64, labelRows: 8 }
const everything = { total: Infinity, tensor: Infinity }

test('weights take what their precision says, and float32 where nothing can stay packed', () => {
  const float32 = weightBytes(tensors, 'stored', false).total
  expect(float32).toBe(4 * 124_439_808)
  expect(base.total / float32).toBeCloseTo(0.5, 2)
  expect(weightBytes(tensors, 'int8', true).total / float32).toBeCloseTo(0.25, 2)
  expect(weightBytes(tensors, 'float32', true).total).toBe(float32)
  expect(base.largest).toBe(2 * 50257 * 768)
})

test('what is trained is counted three times and once more in gradients, activations grow with the batch, checkpointing spares them', () => {
  const full = estimateStep(defaultRecipe('allWeights', 1), batch, on, base)
  expect(full.trained).toBe(4 * 124_439_808)
  expect(full.optimiser).toBe(2 * full.trained)
  expect(full.gradients).toBeGreaterThanOrEqual(full.trained)
  expect(full.peak).toBe(full.base + full.trained + full.optimiser + full.gradients + full.activations + full.logits)
  const soft = (size: number) => estimateStep(defaultRecipe('softPrompt', 1), { ...batch, size, labelRows: size }, on, base)
  // Not twice: the virtual tokens are there once.
  expect(soft(16).activations / soft(8).activations).toBeCloseTo(1.92, 1)
  expect(soft(16).activations).toBeLessThan(1.97 * soft(8).activations)
  expect(soft(8).trained).toBe(4 * 20 * 768)
  const spared = estimateStep({ ...defaultRecipe('softPrompt', 1), gradientCheckpointing: true }, batch, on, base)
  expect(spared.activations).toBeLessThan(0.4 * soft(8).activations)
})

test('what rises in the first layers is computed again where all weights would take more than 1.4 times what they hold, in half of the layers at most', () => {
  const layers = (method: string, size: number, held: HeldBase = base) =>
    layersComputedAgain(defaultRecipe(method, 1), { size, time: 64, labelRows: size }, on, held)
  expect(layers('allWeights', 16)).toBe(0)
  const some = layers('allWeights', 40)
  expect(some).toBeGreaterThan(0)
  expect(some).toBeLessThan(6)
  // Where six layers are not enough, none is.
  expect(layers('allWeights', 64)).toBe(0)
  // The room that others leave is theirs; adapters add to what rises, and composed operations keep too much else.
  expect(layers('softPrompt', 16)).toBe(0)
  expect(layers('lora', 64)).toBe(0)
  expect(layers('allWeights', 40, { ...base, fused: false })).toBe(0)
})

test('a race holds the base once, the state of all runs, and the worst step or evaluation', () => {
  const runs = ['softPrompt', 'lora'].map((method) => estimateStep(defaultRecipe(method, 1), batch, on, base))
  const alone = raceBytes(runs.slice(0, 1), 0)
  expect(alone).toBe(runs[0]!.peak)
  const [soft, lora] = runs as [(typeof runs)[0], (typeof runs)[0]]
  expect(raceBytes(runs, 0)).toBe(Math.max(soft.peak + lora.trained + lora.optimiser, lora.peak + soft.trained + soft.optimiser))
  const evaluation = evaluationBytes([{ size: 512, time: 64, labelRows: 512 }], gpt2, 20, true)
  expect(raceBytes(runs, evaluation)).toBe(base.total + soft.trained + soft.optimiser + lora.trained + lora.optimiser + evaluation)
})

const planned = (method: string) => ({ name: method, recipe: defaultRecipe(method, 1), batch })
const ask = (method: string, limits: { total?: number; tensor: number }, held: HeldBase = base) =>
  runProblem(planned(method), on, held, limits)

test('what does not fit is refused with what would', () => {
  expect(ask('allWeights', everything)).toBeUndefined()
  expect(ask('softPrompt', { tensor: Infinity })).toBeUndefined()
  expect(ask('allWeights', { ...everything, total: 1e9 })).toEqual({
    message: expect.stringMatching(/^allWeights does not fit: it needs about 2\.\d GB, and 1\.0 GB are there\.$/) as string,
    advice: 'It would with LoRA in its place.'
  })
  const tight = estimateStep(defaultRecipe('softPrompt', 1), batch, on, base).peak - 1e6
  expect(ask('softPrompt', { ...everything, total: tight })?.advice).toMatch(
    /^It would with a batch of 4, texts of at most 48 tokens or gradient checkpointing\.$/
  )
  // Float32 copies of an embedding that is bound packed.
  expect(ask('softPrompt', { tensor: 128 * 2 ** 20 })).toBeUndefined()
  expect(ask('allWeights', { tensor: 128 * 2 ** 20 })?.message).toContain('a tensor of 155 MB, and this device binds 135 MB at most')
  expect(ask('softPrompt', { ...everything, total: 1e8 })?.advice).toBe('Choose a smaller model, or hold its weights in fewer bytes.')
  expect(raceProblem(3e9, 3, { ...everything, total: 2e9 })?.message).toBe('Together the 3 runs need about 3.0 GB, and 2.0 GB are there.')
  expect(raceProblem(3e9, 3, { tensor: 1 })).toBeUndefined()
})

test('a step is the forward pass, the way back as far as anything is trained, and the products of trained weights', () => {
  const work = (method: string, checkpointing = false) =>
    stepWork({ ...defaultRecipe(method, 1), gradientCheckpointing: checkpointing }, batch, on)
  const forward = forwardWork(gpt2.config, 8 * 64, 8)
  expect(work('allWeights') / forward).toBeGreaterThan(2.9)
  expect(work('allWeights') / forward).toBeLessThan(3.2)
  // 20 virtual tokens for all 8 texts of 64, there and back.
  expect(work('softPrompt') / forward).toBeCloseTo((2 * (20 + 8 * 64)) / (8 * 64), 1)
  expect(work('lastLayers')).toBeLessThan(0.6 * work('allWeights'))
  expect(work('softPrompt', true) / work('softPrompt')).toBeCloseTo(1.5, 1)
  expect(work('handwrittenPrompt')).toBe(0)
})

test('memory is what a person allows, else what WebAssembly or the computer has, else unknown', () => {
  expect(memoryReport('webgpu', 8, 1e9)).toEqual({ bytes: 1e9, from: 'person' })
  expect(memoryReport('webgpu', 8)).toEqual({ bytes: 4 * 2 ** 30, from: 'computer' })
  expect(memoryReport('wasm', 16)).toEqual({ bytes: 2 ** 32, from: 'webassembly' })
  expect(memoryReport('wasm', 4)).toEqual({ bytes: 2 ** 31, from: 'computer' })
  expect(memoryReport('webgpu', undefined)).toEqual({ from: 'unknown' })
})
