// A model of GPT-2's width and vocabulary with random half-precision weights that no file holds: loaded packed, tuned and asked, with what each took.
import { MemoryMeter } from '../../src/engine/device/memory'
import type { WeightSource } from '../../src/engine/formats/weightSource'
import { float32ToFloat16 } from '../../src/engine/halfFloats'
import { readArchitecture } from '../../src/engine/model/architectures'
import type { Batch } from '../../src/engine/model/batch'
import { createDecoder } from '../../src/engine/model/createDecoder'
import { generateGreedily } from '../../src/engine/model/generate'
import { weightShapes } from '../../src/engine/model/layout'
import { defaultRecipe } from '../../src/engine/training/defaultRecipe'
import { estimateStep, weightBytes } from '../../src/engine/training/memoryEstimate'
import { Trainer } from '../../src/engine/training/trainer'

const GPT2 = {
  model_type: 'gpt2',
  n_embd: 768,
  n_head: 12,
  vocab_size: 50257,
  n_positions: 1024,
  bos_token_id: 50256,
  eos_token_id: 50256
}

/** Different numbers that are quick to make: a table of normal-sized ones, begun anew at another place for each tensor. */
function randomWeights(shapes: Readonly<Record<string, readonly number[]>>): WeightSource {
  const table = float32ToFloat16(Float32Array.from({ length: 65_521 }, (_, i) => 0.02 * Math.sin(i * i)))
  const one = float32ToFloat16(Float32Array.of(1))[0]!
  return {
    tensors: new Map(Object.entries(shapes).map(([name, shape]) => [name, { dtype: 'F16', shape: [...shape] }])),
    read: (name) => {
      const shape = shapes[name]!
      const values = new Uint16Array(shape.reduce((product, side) => product * side, 1))
      if (shape.length === 1 && name.endsWith('weight')) values.fill(one)
      else for (let at = 0; at < values.length; at += table.length) values.set(table.subarray(0, values.length - at), at)
      return Promise.resolve(new Uint8Array(values.buffer))
    }
  }
}

const BATCH: Batch = {
  size: 2,
  time: 16,
  inputIds: Int32Array.from({ length: 32 }, (_, i) => (997 * i) % 50257),
  lengths: Int32Array.of(16, 11),
  labelRows: Int32Array.of(15, 26),
  labelIds: Int32Array.of(20, 50200),
  labelWeights: Float32Array.of(0.5, 0.5)
}

export interface Gpt2SizeResult {
  parameters: number
  loadSeconds: number
  stepSeconds: number[]
  generateSeconds: number
  losses: number[]
  tokens: number[]
  /** Bytes on the device at most, and as was foretold. */
  peakBytes: number
  estimatedBytes: number
  /** Of the weights alone. */
  baseBytes: number
}

/** Loads the model with so many layers, tunes a soft prompt for two steps and generates four tokens on the current backend. */
export async function runGpt2Size(layers: number): Promise<Gpt2SizeResult> {
  const config = { ...GPT2, n_layer: layers }
  const shape = readArchitecture(config)
  const weights = randomWeights(weightShapes(shape.config, shape.layout))
  const meter = new MemoryMeter()
  const empty = meter.bytes
  meter.begin()
  let started = performance.now()
  const lap = (): number => {
    const seconds = (performance.now() - started) / 1000
    started = performance.now()
    return seconds
  }
  const decoder = await createDecoder(config, weights)
  const loadSeconds = lap()
  const recipe = { ...defaultRecipe('softPrompt', 1, { virtualTokens: 8 }), batchSize: BATCH.size }
  const trainer = await Trainer.create({ decoder, recipe, budget: { kind: 'steps', steps: 2 }, encode: () => [5], labelWords: ['a', 'b'] })
  const losses: number[] = []
  const stepSeconds: number[] = []
  lap()
  for (let step = 0; step < 2; step++) {
    const record = await trainer.step(BATCH)
    if (record === 'diverged') throw new Error('The run diverged.')
    losses.push(record.loss)
    stepSeconds.push(lap())
  }
  const peakBytes = meter.highest - empty
  const [tokens = []] = await generateGreedily(decoder, [[464, 2068]], { maximumTokens: 4, adaptation: trainer.adaptation() })
  const result = {
    parameters: decoder.parameters,
    loadSeconds,
    stepSeconds,
    generateSeconds: lap(),
    losses,
    tokens,
    peakBytes,
    estimatedBytes: estimateStep(
      recipe,
      { size: BATCH.size, time: BATCH.time, labelRows: BATCH.labelRows.length },
      { ...shape, labels: 2 },
      weightBytes(weights.tensors.values(), 'stored', true)
    ).peak,
    baseBytes: decoder.bytes
  }
  trainer.dispose()
  decoder.dispose()
  return result
}
