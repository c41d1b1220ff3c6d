// What a recipe is refused for, and the windows of stages.
import { expect, test } from 'vitest'
import { readArchitecture } from '../../src/engine/model/architectures'
import { defaultPart, defaultRecipe, inStages, recipeOf } from '../../src/engine/training/defaultRecipe'
import type { RecipePart } from '../../src/engine/training/recipe'
import { recipeProblem } from '../../src/engine/training/recipeProblem'

const base = readArchitecture({
  model_type: 'llama',
  vocab_size: 40,
  hidden_size: 8,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  intermediate_size: 12,
  max_position_embeddings: 64
})
const on = { ...base, labels: 2 }
const problemOf = (...parts: RecipePart[]): string | undefined => recipeProblem(recipeOf(parts, 1), on)?.message
const during = (method: string, from: number, to: number): RecipePart => ({ ...defaultPart(method), window: { from, to } })

test('methods at once and in stages are fine', () => {
  expect(recipeProblem(defaultRecipe(['handwrittenPrompt', 'softPrompt', 'lora'], 1), on)).toBeUndefined()
  const stages = inStages([defaultPart('softPrompt'), defaultPart('lora'), defaultPart('lastLayers')])
  expect(stages.map(({ window }) => window)).toEqual([
    { from: 0, to: 1 / 3 },
    { from: 1 / 3, to: 2 / 3 },
    { from: 2 / 3, to: 1 }
  ])
  expect(problemOf(...stages)).toBeUndefined()
  expect(problemOf(during('softPrompt', 0, 0.6), during('lora', 0.4, 1), defaultPart('ia3'))).toBeUndefined()
})

test.each([
  [-0.1, 1],
  [0.5, 0.5],
  [0.6, 0.4],
  [0, 1.01],
  [Number.NaN, 1]
])('a window from %d to %d is refused', (from, to) => {
  expect(problemOf(during('softPrompt', from, to), defaultPart('lora'))).toMatch('cannot be trained from')
})

test('a stretch of the budget in which nothing is trained is refused, wherever it lies', () => {
  expect(problemOf(during('softPrompt', 0.1, 1))).toBe('Nothing is trained from 0 % to 10 % of the budget.')
  expect(problemOf(during('softPrompt', 0, 0.3), during('lora', 0.75, 1))).toBe('Nothing is trained from 30 % to 75 % of the budget.')
  expect(problemOf(during('softPrompt', 0, 0.8), defaultPart('handwrittenPrompt'))).toBe(
    'Nothing is trained from 80 % to 100 % of the budget.'
  )
})

test('a method twice is refused, also with other layers, and two parts that train the same tensor, also one after the other', () => {
  expect(problemOf(defaultPart('softPrompt'), defaultPart('softPrompt'))).toBe('The recipe has Soft prompt twice.')
  expect(
    problemOf(defaultPart('lora', { targets: 'attention' }), defaultPart('lora', { targets: 'named', modules: 'down_proj', rank: 2 }))
  ).toBe('The recipe has LoRA twice.')
  expect(problemOf(...inStages([defaultPart('lastLayers'), defaultPart('allWeights')]))).toMatch('Two parts of the recipe train "model.')
})

test('no method, two hand-written prompts, and numbers that make no sense are refused', () => {
  expect(problemOf()).toBe('This recipe has no method.')
  expect(problemOf(defaultPart('handwrittenPrompt'), defaultPart('handwrittenPrompt'))).toMatch('one hand-written prompt')
  const own = defaultPart('handwrittenPrompt', { template: '{text} It is' })
  expect(problemOf(own)).toBeUndefined()
  expect(problemOf(own, defaultPart('lora'))).toMatch('cannot stand beside what is tuned')
  expect(problemOf({ ...defaultPart('lora'), learningRate: -1 })).toMatch('the learning rate cannot be -1')
  expect(problemOf({ ...defaultPart('lora'), weightDecay: Infinity })).toMatch('the weight decay cannot be Infinity')
  expect(problemOf({ ...defaultPart('lora'), options: { rank: 0 } })).toMatch('"Rank" cannot be 0')
  expect(problemOf(defaultPart('softPrompt', { start: 'saved' }))).toMatch('none is chosen')
  expect(recipeProblem({ ...defaultRecipe('lora', 1), batchSize: 0 })?.message).toMatch('A batch of 0')
})
