// What `npm run tune` was asked for: flags read, checked, and turned into the headless page's request.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, extname, join, resolve } from 'node:path'
import util from 'node:util'
import { CommandError, ROOT } from './ensure.mjs'
import { FLAGS, Values, wrong } from './tuneFlags.mjs'
import { readRecipe } from './tuneRecipe.mjs'

const TASK_FILES = ['.csv', '.tsv', '.json', '.jsonl']

/** @typedef {{ path: string, prefix: string, folder: string }} Mount a folder outside dist/: what the page asks for, what the server knows, where it is */

/** @param {'models' | 'tasks' | 'adapters'} kind @param {string} folder @param {string} [name] @returns {Mount} */
function mount(kind, folder, name = basename(folder)) {
  return { path: `mounted/${kind}/${encodeURIComponent(name)}`, prefix: `/mounted/${kind}/${name}/`, folder }
}

/** @param {Values} values @returns {Mount} */
function readModel(values) {
  const folder = resolve(values.text('model') ?? join(ROOT, 'public/models/tuneground-2m'))
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) throw new CommandError(`There is no folder ${folder} (--model).`)
  const has = (/** @type {string[]} */ ...files) => files.every((file) => existsSync(join(folder, file)))
  const parts = /** @type {const} */ ([
    ['config.json', has('config.json')],
    ['tokenizer.json, nor vocab.json and merges.txt', has('tokenizer.json') || has('vocab.json', 'merges.txt')],
    ['model.safetensors, nor shards with model.safetensors.index.json', has('model.safetensors') || has('model.safetensors.index.json')]
  ])
  for (const [name, isThere] of parts) {
    if (!isThere) throw new CommandError(`${folder} has no ${name}: --model takes a folder in the Hugging Face layout.`)
  }
  return mount('models', folder)
}

/** @param {Values} values @param {number} seed @returns {{ source: import('../src/worker/protocol').TaskSource, mount?: Mount }} */
function readTask(values, seed) {
  const given = values.text('task')
  if (given === undefined) throw wrong('--task is missing: a task folder, or a file of labelled texts.')
  const path = resolve(given)
  const info = statSync(path, { throwIfNoEntry: false })
  if (!info) throw new CommandError(`There is no file or folder ${path} (--task).`)
  const labelWords = values.pairs('label-word')
  const columns = {
    textColumn: values.text('text-column'),
    labelColumn: values.text('label-column'),
    template: values.text('template'),
    ...(Object.keys(labelWords).length > 0 ? { labelWords } : {})
  }
  if (info.isDirectory()) {
    if (!existsSync(join(path, 'task.json'))) throw new CommandError(`${path} has no task.json: --task takes a task folder or a file.`)
    if (Object.values(columns).some((value) => value !== undefined)) {
      throw wrong('--text-column, --label-column, --template and --label-word belong to a file; a task folder says these in its task.json.')
    }
    const mounted = mount('tasks', path)
    return { source: { kind: 'site', path: mounted.path }, mount: mounted }
  }
  if (!TASK_FILES.includes(extname(path).toLowerCase())) {
    throw new CommandError(`${path} is no task: --task takes a folder, or a file that ends in ${TASK_FILES.join(', ')}.`)
  }
  const options = { ...columns, seed }
  return { source: { kind: 'file', name: basename(path), text: readFileSync(path, 'utf8'), options } }
}

/** @param {Values} values @param {boolean} mayBeNone @returns {import('../src/engine/training/recipe').Budget} */
function readBudget(values, mayBeNone) {
  const steps = values.number('steps', { minimum: mayBeNone ? 0 : 1 })
  const seconds = values.number('seconds', { minimum: 1, whole: false })
  if (steps !== undefined && seconds !== undefined) throw wrong('--steps and --seconds exclude each other: a run has one budget.')
  return seconds === undefined ? { kind: 'steps', steps: steps ?? 100 } : { kind: 'seconds', seconds }
}

/** @param {Values} values @returns {number[]} */
function readSeeds(values) {
  const given = values.text('seeds')
  if (given === undefined) return [values.number('seed', { minimum: 0 }) ?? 1]
  if (values.text('seed') !== undefined) throw wrong('--seed and --seeds exclude each other.')
  const seeds = given.split(',').map(Number)
  if (!/^\d+(,\d+)*$/.test(given) || !seeds.every(Number.isSafeInteger) || new Set(seeds).size < seeds.length) {
    throw wrong(`--seeds is "${given}"; it takes whole numbers with commas between them, each once.`)
  }
  return seeds
}

/** A PEFT adapter's folder. @param {string} folder @param {string} flag @param {number} index of those of this command @returns {Mount} */
function readAdapter(folder, flag, index) {
  const path = resolve(folder)
  for (const file of ['adapter_config.json', 'adapter_model.safetensors']) {
    if (existsSync(join(path, file))) continue
    const hint = ['software', 'any'].includes(folder) ? ' WebGPU is chosen by --webgpu.' : ''
    throw new CommandError(`${path} has no ${file}: ${flag} takes the folder of a PEFT adapter.${hint}`)
  }
  return mount('adapters', path, String(index))
}

/** @param {Values} values @returns {Job['export']} */
function readExport(values) {
  const given = values.text('export')
  const as = values.choice('export-as', ['peft', 'merged', 'huggingFace', 'changed'])
  if (given === undefined) {
    if (as !== undefined) throw wrong('--export-as needs --export: a folder to write to.')
    return undefined
  }
  const folder = resolve(given)
  const info = statSync(folder, { throwIfNoEntry: false })
  if (info && (!info.isDirectory() || readdirSync(folder).length > 0)) throw new CommandError(`${folder} is there already (--export).`)
  return { folder, as: as ?? 'fitting' }
}

/** @param {string | undefined} file @returns {string | undefined} */
function readOutput(file) {
  if (file === undefined) return undefined
  const path = resolve(file)
  if (!statSync(dirname(path), { throwIfNoEntry: false })?.isDirectory())
    throw new CommandError(`There is no folder ${dirname(path)} (--json).`)
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw new CommandError(`${path} is a folder (--json).`)
  return path
}

/**
 * @typedef {object} Job
 * @property {import('../src/headless/request').HeadlessRequest[]} requests one for each seed
 * @property {Mount[]} mounts
 * @property {'software' | 'any'} webgpu
 * @property {{ folder: string, as: import('../src/engine/formats/exports').ExportKind | 'fitting' } | undefined} export
 * @property {string | undefined} output
 */

/**
 * Reads and checks the command line. Throws a `CommandError` that says which flag is wrong and what it takes.
 * @param {string[]} argv without node and script
 * @returns {'help' | Job}
 */
export function readTuneArguments(argv) {
  let parsed
  try {
    parsed = util.parseArgs({ args: argv, options: FLAGS }).values
  } catch (error) {
    throw wrong(/** @type {Error} */ (error).message)
  }
  if (parsed.help) return 'help'
  const values = new Values(parsed)
  const { seed: own, ...recipe } = readRecipe(values)
  const seeds = values.text('seed') === undefined && values.text('seeds') === undefined && own !== undefined ? [own] : readSeeds(values)
  const backend = values.choice('backend', ['auto', 'webgpu', 'wasm', 'webgl'])
  const precision = values.choice('precision', ['stored', 'float16', 'int8', 'float32'])
  const memoryGigabytes = values.number('memory', { minimum: 0.001, whole: false })
  const webgpu = values.choice('webgpu', ['software', 'any']) ?? 'software'
  const adapterFolders = /** @type {string[]} */ (values.values.adapter ?? [])
  const trainingExamples = values.number('training-examples', { minimum: 1 })
  const settings = {
    budget: readBudget(values, adapterFolders.length > 0),
    evaluateEvery: values.number('evaluate-every', { minimum: 1 }) ?? 20,
    patience: values.number('patience', { minimum: 0 }) ?? 0,
    ...(trainingExamples !== undefined && { trainingExamples })
  }
  const output = readOutput(values.text('json'))
  const exported = readExport(values)
  const model = readModel(values)
  const adapters = adapterFolders.map((folder, i) => readAdapter(folder, '--adapter', i))
  const saved = recipe.parts.map(({ options }, i) =>
    options.start === 'saved' ? [readAdapter(String(options.savedRun ?? ''), 'savedRun', adapters.length + i)] : []
  )
  const parts = recipe.parts.map((part, i) =>
    saved[i]?.[0] ? { ...part, options: { ...part.options, savedRun: saved[i][0].path } } : part
  )
  const tasks = seeds.map((seed) => readTask(values, seed))
  return {
    requests: seeds.map((seed, i) => ({
      ...recipe,
      parts: adapters.length > 0 ? [] : parts,
      adapters: adapters.map(({ path }) => path),
      rates: { learningRate: parts[0]?.learningRate, weightDecay: parts[0]?.weightDecay },
      modelPath: model.path,
      ...(precision !== undefined && { precision }),
      ...(memoryGigabytes !== undefined && { memoryBytes: memoryGigabytes * 1e9 }),
      task: /** @type {typeof tasks[number]} */ (tasks[i]).source,
      seed,
      settings,
      ...(exported && { exportAs: exported.as }),
      ...(backend === undefined || backend === 'auto' ? {} : { backend })
    })),
    mounts: [model, ...(tasks[0]?.mount ? [tasks[0].mount] : []), ...adapters, ...saved.flat()],
    webgpu,
    export: exported,
    output
  }
}
