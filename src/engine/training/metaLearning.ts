// A soft prompt meta-learned over several tasks by Reptile: not good at any of them yet, and soon good at each, and at others like them.
import { UserError } from '../errors'
import type { MemoryMeter } from '../device/memory'
import type { Decoder } from '../model/decoder'
import { Random } from '../random'
import { momentName, type StoredTensors } from './checkpoint'
import type { RaceData } from './data'
import type { PauseControl } from './pauseControl'
import type { Recipe } from './recipe'
import { reptile, type ReptileRecord, type ReptileSettings, type ReptileTask } from './reptile'
import { Trainer, type TrainerState } from './trainer'

const PROMPT = 'virtualTokens'

export interface MetaLearningOptions {
  decoder: Decoder
  /** One soft prompt; its learning rate is that of the steps on each task, and stays the same all the time. */
  recipe: Recipe
  settings: ReptileSettings
  tasks: readonly { name: string; data: RaceData }[]
  control: PauseControl
  memory?: MemoryMeter
  /** After each iteration, with the prompt as it then is and what was spent so far. */
  onIteration: (record: ReptileRecord, tensors: StoredTensors, cost: MetaLearningCost) => Promise<void>
}

/** Charged as runs are charged: training time without compilation. */
export interface MetaLearningCost {
  seconds: number
  tokens: number
  peakBytes: number
}

/**
 * The prompt after the last iteration, or as it was when the work was stopped.
 * @throws UserError where the recipe is not one soft prompt, there are fewer than two tasks, or the device failed
 */
export async function metaLearnPrompt(options: MetaLearningOptions): Promise<StoredTensors> {
  const { recipe, settings, tasks, control, onIteration } = options
  checkMetaLearning(options)
  const trainers: Trainer[] = []
  try {
    for (const { data } of tasks) trainers.push(await trainerOf(options, data))
    const first = (await trainers[0]!.tensors('best'))[PROMPT]!
    const { shape } = first
    const promptOf = (data: Float32Array): StoredTensors => ({ [PROMPT]: { shape, data } })
    const reptileTasks = tasks.map(({ name, data }, i) => reptileTask(name, trainers[i]!, data, recipe, promptOf, control))
    const random = new Random(recipe.seed)
    const values = await reptile(
      first.data,
      reptileTasks,
      settings,
      (items) => random.shuffle(items),
      async (record, data) => {
        if (control.isStopped) return false
        await onIteration(record, promptOf(data), costOf(trainers))
        return true
      }
    )
    return promptOf(values)
  } finally {
    trainers.forEach((trainer) => trainer.dispose())
  }
}

function checkMetaLearning({ recipe: { parts }, settings: { iterations, innerSteps, metaStepSize }, tasks }: MetaLearningOptions): void {
  if (parts.length !== 1 || parts[0]!.method !== 'softPrompt' || parts[0]!.window) {
    throw new UserError('Only a soft prompt can be meta-learned.', 'Take a recipe of one soft prompt.')
  }
  if (tasks.length < 2) throw new UserError('Meta-learning needs at least two tasks.', 'Choose more tasks to learn from.')
  if (![iterations, innerSteps].every((count) => Number.isInteger(count) && count > 0)) {
    throw new UserError(`${iterations} iterations of ${innerSteps} steps cannot be made.`, 'Give whole numbers from 1.')
  }
  if (!(metaStepSize > 0 && metaStepSize <= 1)) {
    throw new UserError(`The start cannot move ${metaStepSize} of the way to what was learnt.`, 'Give a share above 0, at most 1.')
  }
}

function trainerOf({ decoder, recipe, settings, memory }: MetaLearningOptions, { encode, labelWords }: RaceData): Promise<Trainer> {
  return Trainer.create({
    decoder,
    recipe: { ...recipe, schedule: { kind: 'constant', warmupSteps: 0 } },
    budget: { kind: 'steps', steps: settings.innerSteps },
    encode,
    labelWords,
    memory
  })
}

/** Each time the optimiser begins anew, and the batches go on where they were. */
function reptileTask(
  name: string,
  trainer: Trainer,
  data: RaceData,
  { batchSize, seed }: Recipe,
  promptOf: (values: Float32Array) => StoredTensors,
  control: PauseControl
): ReptileTask {
  const batches = data.trainingBatches(batchSize, seed)
  return {
    name,
    async tune(start, steps) {
      const { accounts, random }: TrainerState = trainer.state
      const prompt = promptOf(start)[PROMPT]!
      const zeros = { shape: prompt.shape, data: new Float32Array(prompt.data.length) }
      const tensors = { [PROMPT]: prompt, [momentName('first', PROMPT)]: zeros, [momentName('second', PROMPT)]: zeros }
      trainer.restore({ state: { step: 0, accounts, random }, tensors })
      const losses: number[] = []
      for (let step = 0; step < steps; step++) {
        await control.hold()
        // What was tuned halfway does not count.
        if (control.isStopped) return undefined
        const record = await trainer.step(batches.next())
        if (record === 'diverged') return undefined
        losses.push(record.loss)
      }
      const { data: values } = (await trainer.tensors('best'))[PROMPT]!
      return { values, firstLoss: losses[0]!, lastLoss: losses.at(-1)! }
    }
  }
}

function costOf(trainers: readonly Trainer[]): MetaLearningCost {
  const states = trainers.map(({ accounts }) => accounts.state)
  return {
    seconds: states.reduce((sum, { trainMilliseconds }) => sum + trainMilliseconds / 1000, 0),
    tokens: states.reduce((sum, { tokens }) => sum + tokens, 0),
    peakBytes: Math.max(...states.map(({ peakBytes }) => peakBytes))
  }
}
