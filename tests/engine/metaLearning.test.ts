// Meta-learning of a soft prompt over two tiny tasks: that it helps, can be paused and stopped, and leaves nothing over.
import * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Decoder } from '../../src/engine/model/decoder'
import type { RaceData } from '../../src/engine/training/data'
import { metaLearnPrompt, type MetaLearningOptions } from '../../src/engine/training/metaLearning'
import { PauseControl } from '../../src/engine/training/pauseControl'
import type { ReptileRecord } from '../../src/engine/training/reptile'
import { createRaceData } from '../../src/tasks/raceData'
import type { TaskData } from '../../src/tasks/task'
import { useBackend } from './backend'
import { raceDecoder, tinyRecipe, tinyTask, tinyTokenizer, weightValues } from './tinyRace'

const recipe = tinyRecipe('softPrompt', { learningRate: 0.1 })
const control = (): PauseControl =>
  new PauseControl(
    () => Promise.resolve(),
    () => undefined
  )

let decoder: Decoder
let tasks: { name: string; data: RaceData }[]
beforeAll(async () => {
  await useBackend('wasm')
  decoder = await raceDecoder()
  const dataOf = (task: TaskData): RaceData => createRaceData(task, tinyTokenizer, decoder.config, [recipe], [])
  const [bright, dull] = tinyTask.task.kind === 'classification' ? tinyTask.task.labels : []
  // The same texts, asked with the words the other way round.
  const turned = {
    ...tinyTask.task,
    labels: [
      { ...bright!, word: ' yes' },
      { ...dull!, word: ' no' }
    ]
  } as TaskData['task']
  tasks = [
    { name: 'Colours', data: dataOf(tinyTask) },
    { name: 'Turned', data: dataOf({ ...tinyTask, task: turned }) }
  ]
})
afterAll(() => decoder.dispose())

async function learn(changes: Partial<MetaLearningOptions> = {}): Promise<{ records: ReptileRecord[]; prompt: Float32Array }> {
  const records: ReptileRecord[] = []
  const { virtualTokens } = await metaLearnPrompt({
    decoder,
    recipe,
    tasks,
    settings: { iterations: 24, innerSteps: 4, metaStepSize: 0.8 },
    control: control(),
    onIteration: (record) => Promise.resolve(void records.push(record)),
    ...changes
  })
  expect(virtualTokens!.shape).toEqual([4, decoder.config.hiddenSize])
  return { records, prompt: virtualTokens!.data }
}

test('the start gets better on all tasks, the base stays as it was, and nothing is left over', async () => {
  const base = await weightValues(decoder)
  await learn({ settings: { iterations: 1, innerSteps: 1, metaStepSize: 0.5 } })
  const before = tf.memory().numTensors
  const { records, prompt } = await learn()
  expect(tf.memory().numTensors).toBe(before)
  expect(await weightValues(decoder)).toEqual(base)
  expect(records).toHaveLength(24)
  const mean = (part: ReptileRecord[]): number => part.reduce((sum, { firstLoss }) => sum + firstLoss, 0) / part.length
  expect(mean(records.slice(-4))).toBeLessThan(mean(records.slice(0, 4)) - 0.5)
  const again = await learn()
  expect(again.prompt).toEqual(prompt)
})

test('is paused, goes on with the same numbers, and is stopped with what it has learnt', async () => {
  const { records: straight } = await learn()
  const halts: boolean[] = []
  const pausing = new PauseControl(
    () => Promise.resolve(),
    (paused) => {
      halts.push(paused)
      if (paused) setTimeout(() => pausing.command('resume'))
    }
  )
  const records: ReptileRecord[] = []
  await learn({
    control: pausing,
    onIteration: (record) => {
      records.push(record)
      if (record.iteration === 2) pausing.command('pause')
      if (record.iteration === 5) pausing.command('stop')
      return Promise.resolve()
    }
  })
  expect(halts).toEqual([true, false])
  expect(records).toEqual(straight.slice(0, 5))
})

test('one task, or more than a soft prompt, is refused', async () => {
  await expect(learn({ tasks: tasks.slice(1) })).rejects.toThrow('at least two tasks')
  await expect(learn({ recipe: tinyRecipe('lora') })).rejects.toThrow('Only a soft prompt')
  await expect(learn({ settings: { iterations: 3, innerSteps: 0, metaStepSize: 0.5 } })).rejects.toThrow('3 iterations of 0 steps')
  await expect(learn({ settings: { iterations: 3, innerSteps: 1, metaStepSize: 2 } })).rejects.toThrow('cannot move 2 of the way')
})
