import { describe, expect, it } from 'vitest'
import { methods } from '../../src/engine/methods/registry'
import { hybridKey, hybridOf, hybridProblem, hybridTitle, readHybrid } from '../../src/state/hybrids'
import { methodTable } from '../../src/state/methodTable'
import { defaultSetup, runRequests } from '../../src/state/setup'

const table = Object.values(methods)
const together = { methods: ['softPrompt', 'lora'], isStaged: false }
const stages = { methods: ['softPrompt', 'allWeights'], isStaged: true }

describe('a hybrid', () => {
  it('has a key that says what it is, whatever the order', () => {
    expect([hybridKey(together), hybridKey(stages)]).toEqual(['softPrompt*lora', 'softPrompt-allWeights'])
    for (const hybrid of [together, stages]) expect(readHybrid(hybridKey(hybrid))).toEqual(hybrid)
  })

  it('has a key for every method of the registry', () => {
    for (const method of table) expect(method.id).toMatch(/^\w+$/)
  })

  it('is named as people would name it', () => {
    expect(hybridTitle(together, table)).toBe('Soft prompt + LoRA')
    expect(hybridTitle(stages, table)).toBe('Soft prompt, then all weights')
    expect(hybridTitle({ methods: ['softPrompt', 'lora'], isStaged: true }, table)).toBe('Soft prompt, then LoRA')
  })

  it.each([
    [['lora'], 'Tick two methods or more.'],
    [['lora', 'magic'], 'There is no method to tune called “magic”.'],
    [['lora', 'handwrittenPrompt'], 'There is no method to tune called “handwrittenPrompt”.'],
    [['lora', 'lora'], 'Each method can be there once.'],
    [['biases', 'allWeights'], 'Biases and All weights would change the same weights: keep one of them.']
  ])('of %j cannot be', (chosen, problem) => {
    expect(hybridProblem({ methods: chosen, isStaged: false }, table)).toBe(problem)
  })
})

describe('the runs of hybrids', () => {
  const values = { ...defaultSetup, methods: [], hybrids: ['softPrompt*lora', 'softPrompt-allWeights'] }
  const setups = { 'softPrompt*lora/lora': { options: { rank: 2 }, learningRate: 0.5, weightDecay: 0 } }
  const runs = runRequests(values, setups, methodTable, (key) => key)

  it('come behind the hand-written prompt, with the parts in their order', () => {
    expect(runs.map(({ id }) => id)).toEqual(['handwrittenPrompt', 'softPrompt*lora', 'softPrompt-allWeights'])
    expect(runs[1]?.recipe.parts.map(({ method }) => method)).toEqual(['softPrompt', 'lora'])
  })

  it('take options and learning rates of their own', () => {
    expect(runs[1]?.recipe.parts[1]).toMatchObject({ options: { rank: 2 }, learningRate: 0.5 })
    expect(runs[1]?.recipe.parts[0]?.learningRate).toBe(methods.softPrompt?.defaults.learningRate)
  })

  it('have windows only where one method follows another', () => {
    expect(runs[1]?.recipe.parts.map(({ window }) => window)).toEqual([undefined, undefined])
    expect(runs[2]?.recipe.parts.map(({ window }) => window)).toEqual([
      { from: 0, to: 0.5 },
      { from: 0.5, to: 1 }
    ])
  })

  it('are known again from their recipes', () => {
    expect(runs.slice(1).map(({ recipe }) => hybridKey(hybridOf(recipe.parts)))).toEqual(values.hybrids)
  })
})
