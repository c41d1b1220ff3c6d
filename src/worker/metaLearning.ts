// Meta-learning in the worker: its tasks, its progress, and its prompt as a run of the library.
import type { MemoryMeter } from '../engine/device/memory'
import type { DeviceReport } from '../engine/device/report'
import { UserError } from '../engine/errors'
import { Random } from '../engine/random'
import type { CheckpointState, StoredTensors } from '../engine/training/checkpoint'
import { metaLearnPrompt, type MetaLearningCost } from '../engine/training/metaLearning'
import { PauseControl } from '../engine/training/pauseControl'
import type { Curve } from '../engine/training/records'
import type { ReptileRecord } from '../engine/training/reptile'
import { saveCheckpoint } from '../storage/checkpoints'
import { createRace } from '../storage/races'
import { updateRun } from '../storage/runs'
import { createRaceData } from '../tasks/raceData'
import type { DeviceQueue } from './deviceQueue'
import type { LoadedModel } from './models'
import type { ModelSource, RaceCommand, RaceRequest } from './protocol'
import type { MetaLearnEvent, MetaLearnRequest } from './startCalls'
import { loadTask, type LoadedTask } from './tasks'

/** The prompt is stored this often, so that a closed tab loses little. */
const SAVE_MILLISECONDS = 10_000

/** What meta-learning needs of the session. */
interface Surroundings {
  siteRoot: string
  device: DeviceReport
  memory: MemoryMeter | undefined
  useModel: (source: ModelSource) => Promise<LoadedModel>
}

/** One meta-learning at a time, which can be paused, gone on with and stopped. */
export class MetaLearning {
  readonly #queue: DeviceQueue
  #control: PauseControl | undefined

  constructor(queue: DeviceQueue) {
    this.#queue = queue
  }

  /** From when the model and the tasks are loaded. */
  get isRunning(): boolean {
    return this.#control !== undefined
  }

  command(command: RaceCommand): void {
    this.#control?.command(command)
  }

  /** Does the whole work. Throws a `UserError` where it cannot be done; what was learnt until then is kept. */
  async run(request: MetaLearnRequest, surroundings: Surroundings, onEvent: (event: MetaLearnEvent) => void): Promise<void> {
    const { siteRoot, device, memory, useModel } = surroundings
    onEvent({ type: 'phase', phase: 'preparing', detail: 'Loading the model and the tasks' })
    const model = await useModel(request.model)
    const tasks: LoadedTask[] = []
    for (const source of request.tasks) tasks.push(await loadTask(source, siteRoot))
    const control = new PauseControl(
      () => this.#queue.drain(),
      (paused) => {
        onEvent({ type: 'phase', phase: paused ? 'paused' : 'running', detail: '' })
        if (paused) this.#queue.release()
        else this.#queue.hold()
      }
    )
    this.#control = control
    this.#queue.hold()
    try {
      await learn(request, model, tasks, { device, memory, control }, onEvent)
    } finally {
      this.#control = undefined
    }
  }
}

async function learn(
  request: MetaLearnRequest,
  { decoder, tokenizer }: LoadedModel,
  tasks: readonly LoadedTask[],
  { device, memory, control }: { device: DeviceReport; memory: MemoryMeter | undefined; control: PauseControl },
  onEvent: (event: MetaLearnEvent) => void
): Promise<void> {
  const { recipe, settings } = request
  const curve: Curve = { steps: [], validation: [] }
  const started = performance.now()
  let savedAt = started
  const save = async (tensors: StoredTensors): Promise<void> => {
    await keepPrompt(request, tasks, device, curve, tensors)
    savedAt = performance.now()
    onEvent({ type: 'saved', iteration: curve.steps.length })
  }
  onEvent({ type: 'phase', phase: 'running', detail: `Learning from ${tasks.length} tasks` })
  const tensors = await metaLearnPrompt({
    decoder,
    recipe,
    settings,
    control,
    memory,
    tasks: tasks.map(({ report, data }) => ({
      name: report.task.title,
      data: createRaceData(data, tokenizer, decoder.config, [recipe], [])
    })),
    async onIteration(record, current, cost) {
      addToCurve(curve, record, cost)
      onEvent({ type: 'iteration', record, iterations: settings.iterations })
      const each = (performance.now() - started) / record.iteration
      onEvent({ type: 'time-left', seconds: (each * (settings.iterations - record.iteration)) / 1000 })
      if (performance.now() - savedAt >= SAVE_MILLISECONDS) await save(current)
    }
  })
  if (curve.steps.length === 0) {
    throw new UserError('Meta-learning was stopped before it had learnt anything.', 'Let it make at least one iteration.')
  }
  await save(tensors)
  onEvent({ type: 'phase', phase: 'finished', detail: '' })
}

/** An iteration as a step of the run's curve: the loss that the start gives on a task, and how far that task's own prompt lay from it. */
function addToCurve({ steps }: Curve, { iteration, firstLoss, distance, metaStepSize }: ReptileRecord, cost: MetaLearningCost): void {
  const milliseconds = 1000 * cost.seconds - steps.reduce((sum, step) => sum + step.milliseconds, 0)
  const tokens = cost.tokens - steps.reduce((sum, step) => sum + step.tokens, 0)
  steps.push({ step: iteration, loss: firstLoss, learningRates: [metaStepSize], gradientNorm: distance, tokens, milliseconds })
}

/** Stores the prompt as the best checkpoint of a run; makes race and run the first time. */
async function keepPrompt(
  request: MetaLearnRequest,
  tasks: readonly LoadedTask[],
  { backend, adapter }: DeviceReport,
  curve: Curve,
  tensors: StoredTensors
): Promise<void> {
  const { id, runId, name, model, recipe, settings } = request
  const metaLearned = { ...settings, tasks: tasks.map(({ report }) => report.task.title) }
  const race: RaceRequest = {
    id,
    name,
    model,
    task: request.tasks[0]!,
    runs: [{ id: runId, name, recipe, metaLearned }],
    settings: {
      budget: { kind: 'steps', steps: settings.iterations * settings.innerSteps },
      evaluateEvery: settings.innerSteps,
      patience: 0
    }
  }
  // Finished from the first time on: it is never gone on with as a race.
  await createRace(race, 'finished', { backend, adapter })
  const step = curve.steps.length
  const random = new Random(recipe.seed).state
  const state: CheckpointState = {
    step,
    epoch: 0,
    position: 0,
    epochRandom: random,
    random,
    accounts: {
      trainMilliseconds: curve.steps.reduce((sum, record) => sum + record.milliseconds, 0),
      compileMilliseconds: 0,
      evaluationMilliseconds: 0,
      tokens: curve.steps.reduce((sum, record) => sum + record.tokens, 0),
      peakBytes: 0
    },
    best: { step, f1Macro: 0, loss: curve.steps.at(-1)!.loss, validationsWithoutGain: 0 },
    curve: { steps: [...curve.steps], validation: [] },
    stopReason: step < settings.iterations ? 'stopped' : 'budget'
  }
  await saveCheckpoint({ runId, kind: 'best', state, tensors })
  await updateRun(runId, { curve: state.curve })
}
