// What the visitor has chosen in the rail, and whether a race can start with it.
import type { Method } from '../engine/methods/method'
import type { Recipe } from '../engine/training/recipe'
import type { FitRequest } from '../worker/fitCalls'
import type { ModelSource, RaceRequest, RunRequest, TaskSource } from '../worker/protocol'
import { siteTasks } from './catalogue'
import { hybridKey, partKey, readHybrid, type Hybrid } from './hybrids'
import { readLink, writeLink } from './link'
import { askedWith, labPromptOf, taskKey, type LabPrompt } from './promptTry'
import {
  BASELINE,
  defaultMethodSetup,
  defaultSetup,
  numberFields,
  numberProblem,
  raceRequest,
  runRequests,
  setupOf,
  sourceOfModel,
  type MethodSetup,
  type MethodTable,
  type FileTask,
  type NumberFieldName,
  type SetupValues
} from './setup'

const SOFT_PROMPT = 'softPrompt'

export class Setup {
  values = $state<SetupValues>({ ...defaultSetup, methods: [...defaultSetup.methods], hybrids: [] })
  methodSetups = $state<Record<string, MethodSetup>>({})
  /** A data set of the visitor's own, in place of one of the site's. */
  file = $state.raw<FileTask | undefined>(undefined)
  #labPrompt = $state.raw<LabPrompt | undefined>(undefined)
  /** What of the link could not be used. */
  linkNotes = $state.raw<string[]>([])
  readonly #table: MethodTable

  constructor(table: MethodTable, query: string) {
    this.#table = table
    this.methodSetups = Object.fromEntries(table.methods.map((method) => [method.id, defaultMethodSetup(method)]))
    this.readLink(query)
  }

  readLink(query: string): void {
    const { values, notes } = readLink(query, this.tunable)
    this.values = values
    values.hybrids.forEach((key) => this.#prepareParts(key))
    this.linkNotes = notes
  }

  /** The registry's rows. */
  get methods(): readonly Method[] {
    return this.#table.methods
  }

  /** Takes over the settings of a race that is shown again, as far as the rail knows them. */
  adopt(request: RaceRequest): void {
    const { values, methodSetups, file } = setupOf(request, $state.snapshot(this.values))
    const { [BASELINE]: _, ...tuned } = methodSetups
    this.values = values
    this.file = file
    this.#labPrompt = labPromptOf(request)
    Object.assign(this.methodSetups, tuned)
  }

  get link(): string {
    return writeLink(this.values)
  }

  /** Methods that train; the hand-written prompt is in every race and cannot be left out. */
  get tunable(): readonly Method[] {
    return this.methods.filter((method) => method.trains)
  }

  get baseline(): Method | undefined {
    return this.methods.find((method) => method.id === BASELINE)
  }

  get model(): ModelSource {
    return sourceOfModel(this.values)
  }

  get task(): TaskSource {
    const { ownTask, labPrompt } = this
    return labPrompt?.role === 'task' ? askedWith(ownTask, labPrompt.template, labPrompt.labelWords) : ownTask
  }

  /** The prompt of the lab that is in use for this task. */
  get labPrompt(): LabPrompt | undefined {
    return this.#labPrompt?.task === taskKey(this.ownTask) ? this.#labPrompt : undefined
  }

  set labPrompt(prompt: LabPrompt | undefined) {
    this.#labPrompt = prompt
  }

  /** The task with its own template, whatever the lab says. */
  get ownTask(): TaskSource {
    const { file } = this
    if (file) return numberProblem('seed', this.values.seed) ? file : { ...file, options: { ...file.options, seed: this.values.seed } }
    return { kind: 'site', path: siteTasks.find((row) => row.id === this.values.task)?.path ?? this.values.task }
  }

  /** One sentence for each thing that keeps a race from starting. */
  get problems(): string[] {
    const { values } = this
    const fields = (Object.keys(numberFields) as NumberFieldName[]).filter(
      (field) => field !== (values.budgetKind === 'steps' ? 'seconds' : 'steps')
    )
    const numbers = fields.map((field) => numberProblem(field, values[field])).filter((problem) => problem !== undefined)
    if (values.methods.length + values.hybrids.length === 0) return ['Tick at least one method to tune.', ...numbers]
    return [...this.#startProblems(), ...numbers]
  }

  #startProblems(): string[] {
    const runs = runRequests(this.values, this.methodSetups, this.#table, (key) => key)
    const open = runs.filter(({ recipe }) => recipe.parts.some(({ options }) => options.start === 'saved' && !options.savedRun))
    return open.map(({ name }) => `${name} is to start from a saved prompt: choose one in its options.`)
  }

  /** The place in the race of a method or a hybrid, which decides its letter and colour; undefined where it is not chosen. */
  placeOf(key: string): number | undefined {
    return this.planned.find((run) => run.key === key)?.place
  }

  /** The runs that Start would begin, by their keys, in their places. */
  get planned(): { key: string; name: string; methods: readonly string[]; place: number }[] {
    return runRequests(this.values, this.methodSetups, this.#table, (key) => key).map(({ id, name, recipe }, place) => ({
      key: id,
      name,
      methods: recipe.parts.map(({ method }) => method),
      place
    }))
  }

  choose(method: string, chosen: boolean): void {
    const others = this.values.methods.filter((id) => id !== method)
    const ids = chosen ? [...others, method] : others
    this.values.methods = this.tunable.map((row) => row.id).filter((id) => ids.includes(id))
  }

  addHybrid(hybrid: Hybrid): void {
    const key = hybridKey(hybrid)
    this.#prepareParts(key)
    if (!this.values.hybrids.includes(key)) this.values.hybrids.push(key)
  }

  removeHybrid(key: string): void {
    this.values.hybrids = this.values.hybrids.filter((other) => other !== key)
  }

  /** Each part has options and a learning rate of its own, which begin as those of the method. */
  #prepareParts(key: string): void {
    for (const id of readHybrid(key).methods) {
      const method = this.methods.find((row) => row.id === id)
      if (method) this.methodSetups[partKey(key, id)] ??= defaultMethodSetup(method)
    }
  }

  runs(): RunRequest[] {
    return runRequests($state.snapshot(this.values), this.#options(), this.#table, newId)
  }

  /** Every method, and each hybrid, as a run that is known by its key, to count what it would train. */
  runsToCount(): RunRequest[] {
    const values = { ...$state.snapshot(this.values), methods: this.methods.map((method) => method.id) }
    return runRequests(values, this.#options(), this.#table, (key) => key)
  }

  /** Every method and hybrid as a run of its own, and which of them would race, to ask what fits. */
  fitRequest(): Omit<FitRequest, 'timed'> {
    const race = this.planned.flatMap(({ key, place }) => Array.from({ length: place === 0 ? 1 : this.values.seeds }, () => key))
    return { model: this.model, task: $state.snapshot(this.task) as TaskSource, runs: this.runsToCount(), race }
  }

  /** What each method is given; the hand-written prompt only what the lab gave it for this task. */
  #options(): Record<string, MethodSetup> {
    const { labPrompt, baseline } = this
    const setups = $state.snapshot(this.methodSetups)
    if (labPrompt?.role !== 'baseline' || !baseline) return setups
    return { ...setups, [BASELINE]: { ...defaultMethodSetup(baseline), options: { ...labPrompt.options } } }
  }

  /** One soft prompt with its own options, as a start from others is made: not from a saved prompt itself. */
  softPromptRecipe(): Recipe {
    const method = this.methods.find((row) => row.id === SOFT_PROMPT)
    const setup = $state.snapshot(this.methodSetups[SOFT_PROMPT]) ?? (method && defaultMethodSetup(method))
    const options = {
      ...setup?.options,
      ...(setup?.options.start === 'saved' && { start: method?.options.start?.default ?? 'random', savedRun: '' })
    }
    const recipe = this.#table.defaultRecipe(SOFT_PROMPT, this.values.seed)
    return { ...recipe, batchSize: this.values.batchSize, parts: recipe.parts.map((part) => ({ ...part, ...setup, options })) }
  }

  request(): RaceRequest {
    return raceRequest($state.snapshot(this.values), this.#options(), this.#table, this.task, newId)
  }
}

const newId = () => crypto.randomUUID()
