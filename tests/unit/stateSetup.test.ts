import { existsSync, readFileSync, statSync, readdirSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { Method } from '../../src/engine/methods/method'
import type { Recipe } from '../../src/engine/training/recipe'
import { siteModels, siteTasks } from '../../src/state/catalogue'
import { linkFields, readLink, writeLink } from '../../src/state/link'
import { defaultSetup, numberProblem, raceRequest, setupOf, type MethodTable, type SetupValues } from '../../src/state/setup'

const method = (id: string, trains: boolean): Method => ({
  id,
  title: `The ${id}`,
  tier: 'main',
  summary: '',
  trains,
  changesBase: false,
  options: { tokens: { kind: 'integer', label: 'Tokens', help: '', default: 20, minimum: 1, maximum: 100 } },
  defaults: { learningRate: 0.3, weightDecay: 0.01, source: '' },
  initialParameters: () => Promise.resolve({}),
  adaptation: () => ({}),
  trainedShapes: () => ({})
})

const recipe = (seed: number): Recipe => ({
  parts: [],
  schedule: { kind: 'linear', warmupSteps: 10 },
  optimiser: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, clipNorm: 1 },
  batchSize: 1,
  maximumLength: 256,
  seed
})

const table: MethodTable = {
  methods: [method('softPrompt', true), method('handwrittenPrompt', false), method('allWeights', true)],
  defaultRecipe: (_method, seed) => recipe(seed)
}
const known = table.methods.filter((row) => row.trains)
const reviews = { kind: 'site' as const, path: 'tasks/reviews' }

function numbered(): () => string {
  let next = 0
  return () => `id-${next++}`
}

describe('raceRequest', () => {
  it('puts the hand-written prompt first, then the chosen methods, each with its own learning rate', () => {
    const setups = { allWeights: { options: { tokens: 5 }, learningRate: 0.001, weightDecay: 0 } }
    const request = raceRequest({ ...defaultSetup, seed: 7, batchSize: 4 }, setups, table, reviews, numbered())
    expect(request.runs.map((run) => run.recipe.parts[0]?.method)).toEqual(['handwrittenPrompt', 'softPrompt', 'allWeights'])
    expect(request.runs.map((run) => run.recipe.parts[0]?.learningRate)).toEqual([0.3, 0.3, 0.001])
    expect(request.runs[1]?.recipe).toMatchObject({ seed: 7, batchSize: 4, maximumLength: 256 })
    expect(new Set([request.id, ...request.runs.map((run) => run.id)]).size).toBe(4)
    expect(request.settings).toEqual({ budget: { kind: 'steps', steps: 100 }, evaluateEvery: 20, patience: 0 })
  })

  it('is understood again by setupOf', () => {
    const values: SetupValues = {
      ...defaultSetup,
      task: 'support',
      methods: ['allWeights'],
      hybrids: ['softPrompt-allWeights'],
      budgetKind: 'seconds',
      seconds: 30,
      patience: 3,
      trainingExamples: 32,
      seed: 9,
      seeds: 2
    }
    const task = { kind: 'site' as const, path: 'tasks/support' }
    const again = setupOf(raceRequest(values, {}, table, task, numbered()), { ...defaultSetup })
    expect(again.values).toEqual(values)
    expect(again.methodSetups['softPrompt-allWeights/softPrompt']).toEqual({
      options: { tokens: 20 },
      learningRate: 0.3,
      weightDecay: 0.01
    })
    expect(again.methodSetups['allWeights']).toEqual({ options: { tokens: 20 }, learningRate: 0.3, weightDecay: 0.01 })
  })
})

describe('repeats', () => {
  const withStart = (start: string): MethodTable => {
    const choices = ['random', 'labels'].map((value) => ({ value, label: value }))
    const row = {
      ...method('softPrompt', true),
      options: { start: { kind: 'choice' as const, label: '', help: '', default: start, choices } }
    }
    return { ...table, methods: [row, ...table.methods.slice(1)] }
  }

  it('give each tuned run once for each seed, and the hand-written prompt once', () => {
    const { runs } = raceRequest({ ...defaultSetup, seed: 5, seeds: 2 }, {}, table, reviews, numbered())
    expect(runs.map(({ name, recipe: { seed } }) => [name, seed])).toEqual([
      ['The handwrittenPrompt', 5],
      ['The softPrompt (seed 5)', 5],
      ['The softPrompt (seed 6)', 6],
      ['The allWeights (seed 5)', 5],
      ['The allWeights (seed 6)', 6]
    ])
  })

  it('race a random start beside another one, and are understood again', () => {
    const values = { ...defaultSetup, againstRandom: true }
    const request = raceRequest(values, {}, withStart('labels'), reviews, numbered())
    expect(request.runs.map(({ recipe }) => recipe.parts[0]?.options.start)).toEqual([undefined, 'labels', 'random', undefined])
    const again = setupOf(request, { ...defaultSetup })
    expect(again.values).toEqual(values)
    expect(again.methodSetups['softPrompt']?.options).toEqual({ start: 'labels' })
  })

  it('add no second run where the start is random already', () => {
    const { runs } = raceRequest({ ...defaultSetup, againstRandom: true }, {}, withStart('random'), reviews, numbered())
    expect(runs).toHaveLength(3)
  })
})

describe('numberProblem', () => {
  it('takes the limits themselves and nothing beside them', () => {
    expect([1, 10_000].map((steps) => numberProblem('steps', steps))).toEqual([undefined, undefined])
    for (const steps of [0, 10_001, 1.5, NaN]) expect(numberProblem('steps', steps)).toBe('Steps takes a whole number from 1 to 10000.')
  })
})

describe('links', () => {
  it('are empty for the default set-up', () => {
    expect(writeLink(defaultSetup)).toBe('')
    expect(readLink('', known)).toEqual({ values: defaultSetup, notes: [] })
  })

  it('carry every field there and back', () => {
    const values: SetupValues = {
      model: 'tuneground-7m',
      hub: defaultSetup.hub,
      task: 'support',
      methods: ['allWeights'],
      hybrids: ['softPrompt*allWeights', 'softPrompt-allWeights'],
      budgetKind: 'steps',
      steps: 12,
      seconds: defaultSetup.seconds,
      evaluateEvery: 3,
      patience: 2,
      batchSize: 8,
      maximumLength: 128,
      precision: 'int8',
      gradientCheckpointing: true,
      trainingExamples: 40,
      seed: 42,
      seeds: 3,
      againstRandom: true,
      tune: 'workgroup64x64',
      float16Products: true
    }
    expect(writeLink(values)).toBe(
      'model=tuneground-7m&task=support&methods=allWeights&hybrids=softPrompt*allWeights,softPrompt-allWeights&steps=12&evaluateEvery=3&patience=2&batchSize=8&maximumLength=128&precision=int8&gradientCheckpointing=yes&trainingExamples=40&seed=42&seeds=3&againstRandom=yes&tune=workgroup64x64&float16Products=yes'
    )
    expect(readLink(writeLink(values), known)).toEqual({ values, notes: [] })
  })

  it('carry a budget in seconds, also the default one', () => {
    for (const seconds of [60, 30]) {
      const values: SetupValues = { ...defaultSetup, budgetKind: 'seconds', seconds }
      expect(writeLink(values)).toBe(`seconds=${seconds}`)
      expect(readLink(writeLink(values), known).values).toEqual(values)
    }
  })

  it('fall back and say so where a value cannot be used', () => {
    const { values, notes } = readLink('steps=many&task=poems&methods=softPrompt,magic&seed=&colour=red&batchSize=8&tune=fast', known)
    expect(values).toEqual({ ...defaultSetup, batchSize: 8 })
    expect(notes).toEqual([
      'Steps takes a whole number from 1 to 10000.',
      'There is no task called “poems”.',
      'There is no method called “magic”.',
      'Seed takes a whole number from 0 to 999999.',
      '“colour” is not a setting.',
      expect.stringContaining('“tune” takes one of: auto, on, off, register4x4')
    ])
  })

  it('name each field once', () => {
    expect(new Set(linkFields.map((field) => field.name)).size).toBe(linkFields.length)
  })
})

describe('the catalogue', () => {
  const folder = (path: string) => new URL(`../../public/${path}/`, import.meta.url)

  it('tells the models as they are', () => {
    for (const model of siteModels) {
      expect(readFileSync(new URL('README.md', folder(model.path)), 'utf8')).toContain(model.parameters.toLocaleString('en'))
      const sizes = readdirSync(folder(model.path)).map((file) => statSync(new URL(file, folder(model.path))).size)
      expect(model.bytes / sizes.reduce((sum, size) => sum + size, 0)).toBeCloseTo(1, 2)
    }
  })

  it('tells the tasks as they are, and misses none', () => {
    const names = readdirSync(folder('tasks')).filter((name) => existsSync(new URL('task.json', folder(`tasks/${name}`))))
    const tasks = names.map((name) => JSON.parse(readFileSync(new URL('task.json', folder(`tasks/${name}`)), 'utf8')) as TaskFile)
    expect(siteTasks.map((task) => task.id).sort()).toEqual(tasks.map((task) => task.name).sort())
    for (const task of siteTasks) {
      const file = tasks.find((row) => row.name === task.id)
      expect(task.kind).toBe(file?.kind)
      expect(file?.title.toLowerCase()).toBe(`${task.title}: ${task.question}`.toLowerCase())
    }
  })
})

interface TaskFile {
  name: string
  kind: string
  title: string
}
