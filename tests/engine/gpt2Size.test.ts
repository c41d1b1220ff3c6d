// A model of GPT-2's width and vocabulary on software WebGPU; the whole of it is `node bench/gpt2size.mjs`.
import { expect, test } from 'vitest'
import { useBackend } from './backend'
import { runGpt2Size } from './gpt2Size'

test('two layers of GPT-2 load packed, tune and answer within their estimate of memory', async () => {
  await useBackend('webgpu')
  const { parameters, losses, tokens, peakBytes, estimatedBytes, baseBytes } = await runGpt2Size(2)
  expect(parameters).toBe(50257 * 768 + 1024 * 768 + 2 * 7_087_872 + 2 * 768)
  expect(baseBytes / parameters).toBeCloseTo(2, 1)
  expect(losses[1]! - losses[0]!).not.toBe(0)
  expect(tokens).toHaveLength(4)
  expect(Math.abs(estimatedBytes / peakBytes - 1)).toBeLessThan(0.15)
})
