// A soft prompt that is being meta-learned over several tasks: what was chosen for it, how far it is, and what came of it.
import { describeError } from '../engine/errors'
import type { Recipe } from '../engine/training/recipe'
import type { EngineApi, ModelSource } from '../worker/protocol'
import type { MetaLearnEvent } from '../worker/startCalls'
import { siteTasks } from './catalogue'
import type { Problem } from './engineSession.svelte'

/** Settings of Reptile as the dialog offers them. */
export const metaLearningFields = {
  iterations: {
    label: 'Iterations',
    minimum: 1,
    maximum: 1000,
    help: 'How many times a task is drawn, tuned for a few steps, and the prompt moved towards what came out.'
  },
  innerSteps: { label: 'Steps each', minimum: 1, maximum: 100, help: 'Steps of tuning on a task each time it is drawn.' },
  metaStepSize: {
    label: 'Step size',
    minimum: 0.01,
    maximum: 1,
    help: 'How far the prompt moves towards what was tuned, as a share of the way; it falls to zero by the end.'
  }
} as const

/** What a task showed: the loss before any step when it was first and last drawn. */
export interface TaskProgress {
  task: string
  first: number
  last: number
}

export class MetaLearning {
  tasks = $state<string[]>([])
  settings = $state({ iterations: 30, innerSteps: 5, metaStepSize: 0.5 })
  phase = $state<'choosing' | 'running' | 'paused' | 'finished'>('choosing')
  iteration = $state(0)
  secondsLeft = $state<number | undefined>(undefined)
  progress = $state<TaskProgress[]>([])
  problem = $state.raw<Problem | undefined>(undefined)
  /** The run of the library that the prompt was kept as. */
  savedRun = $state<string | undefined>(undefined)
  readonly #api: Pick<EngineApi, 'metaLearn' | 'command'>

  constructor(api: Pick<EngineApi, 'metaLearn' | 'command'>) {
    this.#api = api
  }

  get isBusy(): boolean {
    return this.phase === 'running' || this.phase === 'paused'
  }

  /** Back to the choices; all tasks but the one that is to be learnt afterwards are ticked. */
  reset(heldOut: string): void {
    this.tasks = siteTasks.filter(({ id, kind }) => id !== heldOut && kind === 'classification').map(({ id }) => id)
    this.phase = 'choosing'
    this.progress = []
    this.iteration = 0
    this.problem = undefined
    this.savedRun = undefined
  }

  tick(id: string, isOn: boolean): void {
    this.tasks = isOn ? [...this.tasks, id] : this.tasks.filter((other) => other !== id)
  }

  async start(model: ModelSource, recipe: Recipe): Promise<void> {
    const rows = siteTasks.filter(({ id }) => this.tasks.includes(id))
    const runId = crypto.randomUUID()
    this.phase = 'running'
    this.problem = undefined
    this.progress = []
    this.iteration = 0
    this.secondsLeft = undefined
    try {
      await this.#api.metaLearn(
        {
          id: crypto.randomUUID(),
          runId,
          name: `Prompt learnt from ${rows.map(({ title }) => title.toLowerCase()).join(', ')}`,
          model,
          tasks: rows.map(({ path }) => ({ kind: 'site', path })),
          recipe,
          settings: { ...this.settings }
        },
        (event) => this.#receive(event, runId)
      )
      this.phase = 'finished'
    } catch (error) {
      this.problem = describeError(error)
      this.phase = this.savedRun === undefined ? 'choosing' : 'finished'
    }
  }

  command(command: 'pause' | 'resume' | 'stop'): void {
    void this.#api.command(command)
    if (command !== 'stop') this.phase = command === 'pause' ? 'paused' : 'running'
  }

  #receive(event: MetaLearnEvent, runId: string): void {
    switch (event.type) {
      case 'iteration': {
        const { iteration, task, firstLoss } = event.record
        this.iteration = iteration
        const known = this.progress.find((row) => row.task === task)
        if (known) known.last = firstLoss
        else this.progress.push({ task, first: firstLoss, last: firstLoss })
        return
      }
      case 'time-left':
        this.secondsLeft = event.seconds
        return
      case 'saved':
        this.savedRun = runId
        return
      case 'phase':
        return
    }
  }
}
