// The benchmark of the model of 100 M parameters: what it counts, what it reads of PyTorch, and what its report says of devices.
import { describe as suite, expect, it } from 'vitest'
import { describeLarge } from '../../bench/largeReport.mjs'
import { operationsOf, parametersOf, productsOfStep } from '../../bench/products.mjs'
import { parseAnswer, withRatios } from '../../bench/pytorch.mjs'
import { describe } from '../../bench/report.mjs'
import type { LargeResult, PyTorchResult } from '../../bench/types'

suite('the products of a step', () => {
  const shape = { vocabulary: 11, hidden: 4, layers: 2, heads: 1, intermediate: 5 }
  const products = productsOfStep({ shape, batch: 2, time: 3 })

  it('are counted as by hand: 2 x 6 rows x (2 layers x (4 x 16 + 3 x 20) + 44 of the head), forward and for both gradients', () => {
    expect(operationsOf(products)).toBe(3 * 2 * 6 * (2 * 124 + 44))
  })

  it('take the gradient of a weight over the rows, and that of an input over the outputs', () => {
    expect(products).toContainEqual({ mode: 'NT', rows: 6, columns: 12, depth: 4, count: 2 })
    expect(products).toContainEqual({ mode: 'NN', rows: 6, columns: 5, depth: 4, count: 2 })
    expect(products).toContainEqual({ mode: 'TN', rows: 11, columns: 4, depth: 6, count: 1 })
  })

  it('belong to a model whose tied head counts once and whose norms count too', () => {
    expect(parametersOf(shape)).toBe(44 + 2 * (124 + 2 * 4) + 4)
  })
})

suite('the answer of PyTorch', () => {
  const answer = { device: 'a card', onProcessor: false, versions: { torch: '2' }, steps: [{ name: 'LoRA', milliseconds: 40, loss: 9 }] }

  it('is read where it is whole', () => {
    expect(parseAnswer(JSON.stringify(answer))).toEqual(answer)
    expect(parseAnswer('{"missing": ["peft"]}')).toEqual({ missing: ['peft'] })
  })

  it.each(['', 'Traceback', '[]', JSON.stringify({ ...answer, steps: [{ name: 'LoRA', milliseconds: 0, loss: 9 }] })])(
    'is none in %j',
    (text) => {
      expect(parseAnswer(text)).toBeUndefined()
    }
  )

  it('gets our steps a second over its own, and none where ours lacks the step', () => {
    const steps = (ours: string) => withRatios(answer, [{ name: ours, milliseconds: 50 }]).steps
    expect(steps('LoRA')).toEqual([{ name: 'LoRA', milliseconds: 40, loss: 9, stepsPerSecond: 25, ratio: 0.8 }])
    expect(steps('all weights')[0]?.ratio).toBeNull()
  })
})

suite('the report of the large model', () => {
  const pytorch: PyTorchResult = {
    device: 'some card',
    onProcessor: false,
    versions: { torch: '2.1', peft: '0.9' },
    steps: [{ name: 'LoRA', milliseconds: 40, stepsPerSecond: 25, loss: 9, ratio: 0.8 }]
  }
  const large: LargeResult = {
    measuredAt: '2026-01-02T03:04:05.000Z',
    cores: 2,
    load: 0.5,
    rounds: 5,
    host: 'Node',
    software: false,
    shape: { vocabulary: 10, hidden: 4, layers: 2, heads: 1, intermediate: 6 },
    batch: 2,
    time: 3,
    parameters: 97_536_768,
    steps: [
      {
        name: 'LoRA',
        milliseconds: 50,
        jsMilliseconds: 0.2,
        tokensPerSecond: 120,
        loss: 9,
        dispatches: 70,
        residentBytes: 4e8,
        peakBytes: 5e8
      }
    ],
    matmulGigaflops: 600,
    bestGigaflops: 1000,
    matmulShareOfPeak: 0.6,
    matmul: [{ mode: 'NT', rows: 2, columns: 3, depth: 4, tiles: { small: 500, large: 1000 }, chosen: 'large' }],
    pytorch
  }

  it('sets steps a second beside those of PyTorch, with its device and versions', () => {
    const text = describeLarge('some adapter', large)
    expect(text).toMatch(/\| LoRA +\| +50\.0 \| +20\.00 \|.*\| +40\.0 \| +25\.00 \| +0\.80 \|/)
    expect(text).toContain('PyTorch float32 on **some card** (torch 2.1, peft 0.9; no TensorFloat-32).')
    expect(text).toContain('600.0 GFLOP/s, 60 % of the 1000.0')
  })

  it.each([
    [true, true, /Both ran on the processor/],
    [true, false, /Ours ran on the processor and PyTorch on the graphics card/],
    [false, true, /PyTorch ran on the processor and ours on the graphics card/]
  ])('says what did not run on a graphics card (ours: %j, PyTorch: %j)', (software, onProcessor, caution) => {
    expect(describeLarge('some adapter', { ...large, software, pytorch: { ...pytorch, onProcessor } })).toMatch(caution)
    expect(describeLarge('some adapter', large)).not.toMatch(caution)
  })

  it('stands alone where nothing else of the adapter was measured', () => {
    const nothing = { steps: [], programs: [], matmul: [], scaling: {}, jsMillisecondsPerStep: null, peakToResident: null }
    const ratios = { composed: null, jaxjs: null, nanogpt: null, frozenToFull: null }
    const machine = { measuredAt: '', cores: 0, load: 0, rounds: 0, adapter: 'some adapter', host: 'Node' }
    const text = describe({ ...machine, ...nothing, ratios, dispatches: { full: null, softPrompt: null }, large })
    expect(text.startsWith('#### 97.5 M parameters on some adapter (Node)')).toBe(true)
  })
})
