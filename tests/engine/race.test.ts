// Whole races on a tiny model: fairness, stopping, commands, going on after a reload, results.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Batch } from '../../src/engine/model/batch'
import type { Decoder } from '../../src/engine/model/decoder'
import type { Checkpoint } from '../../src/engine/training/checkpoint'
import type { RaceData } from '../../src/engine/training/data'
import { inStages } from '../../src/engine/training/defaultRecipe'
import type { RaceEvent, RunRequest } from '../../src/engine/training/events'
import { Race, type RaceOptions } from '../../src/engine/training/race'
import type { RaceSettings, Recipe } from '../../src/engine/training/recipe'
import type { ClassificationResult, StepRecord } from '../../src/engine/training/records'
import type { StoredCheckpoints } from '../../src/engine/training/run'
import { useBackend } from './backend'
import { alive, raceDecoder, tinyData, tinyRecipe, tinyTask } from './tinyRace'

const requestOf = (id: string, recipe: Recipe): RunRequest => ({ id, name: `Run ${id}`, recipe })
const both = [requestOf('prompt', tinyRecipe('softPrompt')), requestOf('weights', tinyRecipe('allWeights'))]
const three = [requestOf('base', tinyRecipe('handwrittenPrompt')), ...both]
const settings: RaceSettings = { budget: { kind: 'steps', steps: 12 }, evaluateEvery: 5, patience: 0 }

type EventOf<Type extends RaceEvent['type']> = Extract<RaceEvent, { type: Type }>

/** Collects what a race tells. */
class Log {
  readonly events: RaceEvent[] = []
  /** Called with every event, after it was noted. */
  react: (event: RaceEvent) => void = () => undefined
  readonly listener = (event: RaceEvent): void => {
    this.events.push(event)
    this.react(event)
  }

  of<Type extends RaceEvent['type']>(type: Type, run?: string): EventOf<Type>[] {
    return this.events.filter(
      (event): event is EventOf<Type> => event.type === type && (run === undefined || ('run' in event && event.run === run))
    )
  }

  steps(run: string): Omit<StepRecord, 'milliseconds'>[] {
    return this.of('step', run).map(({ record: { milliseconds: _, ...numbers } }) => numbers)
  }

  get phases(): string[] {
    return this.of('phase').map(({ phase }) => phase)
  }
}

/** The latest checkpoints, as storage would keep them. */
class Shelf {
  readonly checkpoints = new Map<string, StoredCheckpoints>()
  readonly kinds: string[] = []
  readonly save = async (runId: string, kind: 'best' | 'last', take: () => Promise<Checkpoint>): Promise<void> => {
    this.kinds.push(`${runId} ${kind}`)
    this.checkpoints.set(runId, { ...this.checkpoints.get(runId), [kind]: structuredClone(await take()) })
  }
}

describe('on wasm', () => {
  let decoder: Decoder
  let data: RaceData
  beforeAll(async () => {
    await useBackend('wasm')
    decoder = await raceDecoder()
    data = tinyData(
      decoder,
      three.map(({ recipe }) => recipe)
    )
  })
  afterAll(() => decoder.dispose())

  const create = (log: Log, changes: Partial<RaceOptions> = {}): Promise<Race> =>
    Race.create({ decoder, data, runs: both, settings, listener: log.listener, ...changes })

  async function runWhole(changes: Partial<RaceOptions> = {}): Promise<Log> {
    const log = new Log()
    const race = await create(log, changes)
    await race.run()
    race.dispose()
    return log
  }

  test('tells phases, steps, validations and results in order, and leaves nothing over', async () => {
    // The first race reaches the lengths that the decoder keeps rotary tables for.
    await runWhole({ runs: three })
    const before = alive()
    const log = await runWhole({ runs: three })
    expect(alive()).toEqual(before)
    expect(log.phases.filter((phase, i, all) => phase !== all[i - 1])).toEqual(['preparing', 'running', 'evaluating', 'finished'])
    for (const run of ['prompt', 'weights']) {
      expect(log.steps(run).map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
      expect(log.of('validation', run).map(({ record }) => record.step)).toEqual([0, 5, 10, 12])
    }
    expect(log.of('step').map(({ run }) => run)).toEqual(Array.from({ length: 24 }, (_, i) => ['prompt', 'weights'][i % 2]))
    expect(log.of('run-stopped').map(({ run, reason }) => `${run} ${reason}`)).toEqual(['base budget', 'prompt budget', 'weights budget'])
    expect(log.of('problem')).toEqual([])
  })

  test('the hand-written prompt is evaluated once and costs nothing', async () => {
    const log = await runWhole({ runs: three })
    const [{ result }] = log.of('result', 'base') as [EventOf<'result'>]
    expect(log.of('step', 'base')).toEqual([])
    expect(log.of('validation', 'base').map(({ record }) => record.step)).toEqual([0])
    expect(result.cost).toMatchObject({ seconds: 0, steps: 0, tokens: 0, trainableParameters: 0, adapterBytes: 0 })
    expect(result.test).toEqual(result.untrained)
    expect(result.forgetting.after).toBe(result.forgetting.before)
    const untrained = log.of('untrained')
    expect(untrained.map(({ run }) => run)).toEqual(['base', 'prompt', 'weights'])
    expect(new Set(untrained.map(({ accuracy, validationLoss }) => `${accuracy} ${validationLoss}`)).size).toBe(1)
    expect(log.of('validation', 'base')[0]!.record.loss).toBe(untrained[0]!.validationLoss)
  })

  test('a result holds the test split at the best checkpoint, what was forgotten and what it cost', async () => {
    const log = await runWhole({ settings: { ...settings, budget: { kind: 'steps', steps: 40 }, evaluateEvery: 10 } })
    for (const run of ['prompt', 'weights']) {
      const result = log.of('result', run)[0]!.result as ClassificationResult
      const validations = log.of('validation', run).map(({ record }) => record)
      const highest = Math.max(...validations.map(({ f1Macro }) => f1Macro!))
      const luck = Math.sqrt((highest * (1 - highest)) / result.validation.examples)
      const best = validations.findLast(({ f1Macro }) => f1Macro! >= highest - luck)!
      expect(result.bestStep).toBe(best.step)
      expect(result.bestStep).toBeGreaterThan(0)
      expect(result.validation.accuracy).toBe(log.of('validation', run).find(({ record }) => record.step === best.step)!.record.accuracy)
      expect(result.test.examples).toBe(16)
      expect(result.labels).toEqual(['bright', 'dull'])
      expect(result.predictions.map(({ label }) => label)).toEqual(tinyTask.test.map(({ label }) => (label === 'bright' ? 0 : 1)))
      expect(result.predictions[0]!.text).toContain('Kind:')
      const right = result.predictions.filter(({ label, predicted }) => label === predicted).length
      expect(result.test.accuracy).toBeCloseTo(right / 16, 12)
      expect(result.cost.steps).toBe(40)
      expect(result.cost.tokens).toBe(log.steps(run).reduce((sum, { tokens }) => sum + tokens, 0))
      expect(result.cost.seconds).toBeGreaterThan(0)
      expect(result.cost.evaluationSeconds).toBeGreaterThan(0)
      expect(result.forgetting.after).not.toBe(result.forgetting.before)
    }
    const [prompt, weights] = ['prompt', 'weights'].map((run) => log.of('result', run)[0]!.result as ClassificationResult)
    expect(weights!.test.accuracy).toBeGreaterThan(0.9)
    expect(prompt!.forgetting.adapterOff).toBe(prompt!.forgetting.before)
    expect(weights!.forgetting.adapterOff).toBe(weights!.forgetting.after)
    expect(prompt!.cost.trainableParameters).toBe(4 * decoder.config.hiddenSize)
  })

  test('is fair: batch k is the same for every run', async () => {
    const met: Batch[][] = []
    const observed: RaceData = {
      ...data,
      trainingBatches: (batchSize, seed) => {
        const sequence = data.trainingBatches(batchSize, seed)
        const own: Batch[] = []
        met.push(own)
        return {
          next: () => {
            const batch = sequence.next()
            own.push(batch)
            return batch
          },
          get state() {
            return sequence.state
          }
        }
      }
    }
    await runWhole({ data: observed })
    expect(met).toHaveLength(2)
    expect(met[0]).toHaveLength(12)
    expect(met[1]).toEqual(met[0])
    expect(new Set(met[0]!.map(({ inputIds }) => inputIds.join())).size).toBe(12)
  })

  test('goes on from its checkpoints as if nothing had happened', async () => {
    const straight = await runWhole()
    const shelf = new Shelf()
    const log = new Log()
    const controller = new AbortController()
    const first = await create(log, { onCheckpoint: shelf.save, signal: controller.signal })
    log.react = (event) => {
      if (event.type === 'step' && event.run === 'weights' && event.record.step === 7) first.command('pause')
      if (event.type === 'checkpoint' && event.run === 'weights' && event.step === 7) controller.abort(new Error('tab closed'))
    }
    await expect(first.run()).rejects.toThrow('tab closed')
    first.dispose()
    const second = await runWhole({ checkpoints: shelf.checkpoints })
    for (const run of ['prompt', 'weights']) {
      expect([...log.steps(run), ...second.steps(run)]).toEqual(straight.steps(run))
      const losses = (of: Log) => of.of('validation', run).map(({ record: { seconds: _, ...numbers } }) => numbers)
      expect([...losses(log), ...losses(second)]).toEqual(losses(straight))
      const numbers = (of: Log) => {
        const { cost, ...result } = of.of('result', run)[0]!.result
        return { ...result, steps: cost.steps, tokens: cost.tokens }
      }
      expect(numbers(second)).toEqual(numbers(straight))
    }
  })

  test('a race that was killed while it was evaluated trains no more', async () => {
    const shelf = new Shelf()
    const whole = await runWhole({ onCheckpoint: shelf.save })
    const again = await runWhole({ checkpoints: shelf.checkpoints })
    expect(again.of('step')).toEqual([])
    expect(again.of('validation')).toEqual([])
    expect(again.of('result').map(({ result }) => result.test)).toEqual(whole.of('result').map(({ result }) => result.test))
  })

  test('where the best checkpoint is lost the run goes on and says nothing false', async () => {
    const shelf = new Shelf()
    const log = new Log()
    const first = await create(log, { onCheckpoint: shelf.save })
    log.react = (event) => event.type === 'step' && event.record.step === 7 && first.command('stop')
    await first.run()
    first.dispose()
    for (const [run, { last }] of shelf.checkpoints) {
      const { stopReason: _, ...state } = last!.state
      shelf.checkpoints.set(run, { last: { ...last!, state } })
    }
    const second = await runWhole({ checkpoints: shelf.checkpoints })
    for (const { result } of second.of('result')) expect(result.bestStep).toBeGreaterThanOrEqual(6)
  })

  test('stops a run that does not get better, and keeps its best', async () => {
    const runs = [requestOf('idle', tinyRecipe('softPrompt', { learningRate: 0 })), both[1]!]
    const log = await runWhole({ runs, settings: { budget: { kind: 'steps', steps: 10 }, evaluateEvery: 2, patience: 3 } })
    const [stopped] = log.of('run-stopped', 'idle')
    expect(stopped!.reason).toBe('patience')
    // Every step of it is as good as the first, and among equals the latest is kept.
    expect(stopped!.bestStep).toBe(6)
    expect(log.of('validation', 'idle').map(({ record }) => record.step)).toEqual([0, 2, 4, 6])
    expect(log.steps('idle')).toHaveLength(6)
    expect(log.steps('weights')).toHaveLength(10)
    expect(log.of('run-stopped', 'weights')[0]).toMatchObject({ reason: 'budget', bestStep: 10 })
  })

  test('is patient until the last stage is reached', async () => {
    const [prompt] = tinyRecipe('softPrompt', { learningRate: 0 }).parts
    const [lora] = tinyRecipe('lora', { learningRate: 0 }).parts
    const staged = tinyRecipe('softPrompt', { parts: inStages([prompt!, lora!]) })
    const runs = [requestOf('staged', staged)]
    const log = await runWhole({ runs, settings: { budget: { kind: 'steps', steps: 10 }, evaluateEvery: 2, patience: 2 } })
    expect(log.of('run-stopped')[0]!.reason).toBe('patience')
    expect(log.of('validation').map(({ record }) => record.step)).toEqual([0, 2, 4, 6, 8])
  })

  test('a run that diverges stops, says so and is tested at its best; the other goes on', async () => {
    const recipe = tinyRecipe('allWeights', { learningRate: 1e9 })
    const shelf = new Shelf()
    const log = await runWhole({
      runs: [both[0]!, requestOf('broken', { ...recipe, optimiser: { ...recipe.optimiser, clipNorm: 0 } })],
      onCheckpoint: shelf.save
    })
    expect(log.of('run-stopped', 'broken')[0]).toMatchObject({ reason: 'diverged', bestStep: 0 })
    expect(log.of('problem')).toHaveLength(1)
    expect(log.of('problem')[0]).toMatchObject({ run: 'broken' })
    expect(log.of('problem')[0]!.message).toMatch(/^Run broken diverged at step \d+/)
    for (const { loss, gradientNorm } of log.steps('broken')) expect(Number.isFinite(loss) && Number.isFinite(gradientNorm)).toBe(true)
    const { result } = log.of('result', 'broken')[0]!
    expect(result).toMatchObject({ stopReason: 'diverged', bestStep: 0 })
    expect(result.test).toEqual(result.untrained)
    expect(log.steps('prompt')).toHaveLength(12)
    expect(shelf.checkpoints.get('broken')!.best!.state.best.step).toBe(0)
  })

  test('pauses, makes single steps of every run, goes on, and stops with the best kept', async () => {
    const log = new Log()
    const shelf = new Shelf()
    const race = await create(log, { onCheckpoint: shelf.save, settings: { ...settings, budget: { kind: 'steps', steps: 1000 } } })
    const paused = () => log.phases.filter((phase) => phase === 'paused').length
    const until = async (condition: () => boolean): Promise<void> => {
      await new Promise<void>((resolve) => {
        const check = (): void => {
          if (condition()) resolve()
        }
        log.react = check
        check()
      })
    }
    const ended = race.run()
    await until(() => log.of('step').length === 3)
    race.command('pause')
    await until(() => paused() === 1 && log.of('checkpoint').length === 2)
    expect(log.of('step')).toHaveLength(3)
    expect(shelf.checkpoints.get('prompt')!.last!.state.step).toBe(2)
    expect(shelf.checkpoints.get('weights')!.last!.state.step).toBe(1)
    race.command('step')
    await until(() => log.of('checkpoint').length === 4)
    expect(log.steps('prompt').length + log.steps('weights').length).toBe(5)
    expect(log.steps('weights')).toHaveLength(2)
    race.command('resume')
    await until(() => log.of('step').length === 9)
    race.command('stop')
    await ended
    race.dispose()
    expect(log.of('run-stopped').map(({ reason }) => reason)).toEqual(['stopped', 'stopped'])
    expect(log.of('step').length).toBeLessThanOrEqual(10)
    expect(log.of('result').map(({ result }) => result.stopReason)).toEqual(['stopped', 'stopped'])
    expect(log.phases.at(-1)).toBe('finished')
  })

  test('a budget of seconds lets each run make the steps that it can', async () => {
    const log = await runWhole({ settings: { ...settings, budget: { kind: 'seconds', seconds: 0.3 }, evaluateEvery: 1000 } })
    for (const run of ['prompt', 'weights']) {
      const { cost, stopReason } = log.of('result', run)[0]!.result
      expect(stopReason).toBe('budget')
      expect(cost.seconds).toBeGreaterThan(0.3)
      const longest = Math.max(...log.of('step', run).map(({ record }) => record.milliseconds))
      expect(cost.seconds).toBeLessThan(0.3 + 2 * (longest / 1000))
    }
  })

  test('what cannot be stored is told and does not end the race', async () => {
    const log = await runWhole({ onCheckpoint: () => Promise.reject(new Error('no room')) })
    expect(log.of('problem').map(({ message }) => message)).toContain('no room')
    expect(log.of('checkpoint')).toEqual([])
    expect(log.of('result')).toHaveLength(2)
  })

  test('time left falls to the closing evaluation', async () => {
    const log = await runWhole({ settings: { ...settings, budget: { kind: 'steps', steps: 30 } } })
    const seconds = log.of('time-left').map((event) => event.seconds)
    expect(seconds.every((value) => Number.isFinite(value) && value >= 0)).toBe(true)
    expect(seconds.at(-1)!).toBeLessThan(seconds[Math.floor(seconds.length / 2)]!)
    // One more before each of the three runs is tested, and one before the untouched model is: each leaves less to do.
    const closing = seconds.slice(-4)
    expect(closing).toEqual([...closing].sort((a, b) => b - a))
    expect(closing[3]).toBeLessThan(closing[1]!)
  })

  test('a recipe that cannot be met is refused before anything starts, and nothing is left over', async () => {
    const before = alive()
    const wrong = { ...tinyRecipe('softPrompt'), parts: [{ ...tinyRecipe('softPrompt').parts[0]!, options: { virtualTokens: 0 } }] }
    await expect(create(new Log(), { runs: [both[0]!, requestOf('wrong', wrong)] })).rejects.toThrow('"Virtual tokens" cannot be 0')
    expect(alive()).toEqual(before)
  })
})

test('a race on WebGPU goes on from a checkpoint with the same losses', async () => {
  await useBackend('webgpu')
  const decoder = await raceDecoder()
  const data = tinyData(
    decoder,
    both.map(({ recipe }) => recipe)
  )
  const run = async (steps: number, changes: Partial<RaceOptions> = {}): Promise<Log> => {
    const log = new Log()
    const race = await Race.create({
      decoder,
      data,
      runs: both,
      settings: { budget: { kind: 'steps', steps }, evaluateEvery: 3, patience: 0 },
      listener: log.listener,
      ...changes
    })
    await race.run()
    race.dispose()
    return log
  }
  const straight = await run(6)
  const shelf = new Shelf()
  const first = await run(3, { onCheckpoint: shelf.save })
  for (const { last } of shelf.checkpoints.values()) delete last!.state.stopReason
  const second = await run(6, { checkpoints: shelf.checkpoints })
  for (const id of ['prompt', 'weights']) expect([...first.steps(id), ...second.steps(id)]).toEqual(straight.steps(id))
  decoder.dispose()
})
