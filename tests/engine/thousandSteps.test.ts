// A thousand steps of a run, with what a race does between them: nothing on the device grows, and nothing that the runner keeps.
import * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { webGpuFault, webGpuHandle } from '../../src/engine/device/webgpu'
import { evaluate } from '../../src/engine/evaluation/evaluate'
import { runner } from '../../src/engine/kernels/webgpu/run'
import type { Decoder } from '../../src/engine/model/decoder'
import { Trainer } from '../../src/engine/training/trainer'
import { useBackend } from './backend'
import { raceDecoder, tinyData, tinyRecipe } from './tinyRace'

const STEPS = 1000
/** Until then every shape has come, its larger programs are compiled, and its step is replayed. */
const SETTLED = 200

let decoder: Decoder
beforeAll(async () => {
  await useBackend('webgpu')
  decoder = await raceDecoder()
})
afterAll(() => decoder.dispose())

/** All that could grow: tensors, buffers in use, what the pool holds beside them, and what the runner remembers. */
function held() {
  const { numTensors, numBytes, numDataBuffers } = tf.memory()
  const { numBytesUsed, numBytesAllocated, numUsedBuffers } = webGpuHandle()!.backend.bufferManager as unknown as Record<string, number>
  const { compiledPrograms, keptUniforms } = runner()
  return { numTensors, numBytes, numDataBuffers, numBytesUsed, numBytesAllocated, numUsedBuffers, compiledPrograms, keptUniforms }
}

test.each(['allWeights', 'softPrompt'])('%s: no tensor, no byte and no program more', { timeout: 120_000 }, async (method) => {
  const recipe = tinyRecipe(method, { learningRate: 1e-3 })
  const data = tinyData(decoder, [recipe])
  const { encode, labelWords } = data
  const trainer = await Trainer.create({ decoder, recipe, budget: { kind: 'steps', steps: STEPS }, encode, labelWords })
  const sequence = data.trainingBatches(recipe.batchSize, recipe.seed)
  const batches = Array.from({ length: 20 }, () => sequence.next())
  let settled: ReturnType<typeof held> | undefined
  for (let step = 1; step <= STEPS; step++) {
    const record = await trainer.step(batches[step % batches.length]!)
    expect(record).not.toBe('diverged')
    if (step < SETTLED && step % 20 === 0) await runner().settled
    if (step % 50 > 0) continue
    const { loss } = await evaluate(decoder, data.validation, trainer.adaptation())
    expect(loss).toBeGreaterThan(0)
    const tensors = await trainer.tensors(step % 100 === 0 ? 'last' : 'best')
    expect(Object.keys(tensors).length).toBeGreaterThan(0)
    runner().flush()
    if (step === SETTLED) settled = held()
    if (step > SETTLED) expect(held(), `after ${step} steps`).toEqual(settled)
  }
  expect(trainer.stepsDone).toBe(STEPS)
  trainer.dispose()
  expect(webGpuFault()).toBeUndefined()
})
