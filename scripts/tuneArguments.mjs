// What `npm run tune` was asked for: flags read, checked, and turned into the headless page's request.
import { existsSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, extname, join, resolve } from 'node:path'
import util from 'node:util'
import { CommandError, ROOT } from './ensure.mjs'

export const USAGE = `Usage: npm run tune -- [flags]

What to tune
  --model DIR             folder in the Hugging Face layout (default public/models/tuneground-2m)
  --task DIR|FILE         task folder (task.json and its splits), or a .csv, .tsv, .json or .jsonl file, split 60/15/25 by seed
  --text-column NAME      of a file; found where it is not given, as are the next three
  --label-column NAME
  --template TEXT         such as "Review: {text} Sentiment:"
  --label-word NAME=WORD  repeatable

How to tune it
  --method ID             such as softPrompt, lora or allWeights (default softPrompt); an unknown one lists them all
  --option KEY=VALUE      of the method, repeatable: --option virtualTokens=20
  --steps N | --seconds N budget (default 100 steps); seconds are training time alone
  --seed N                order of the examples, first values, split of a file (default 1)
  --batch-size N          --learning-rate X       --weight-decay X        --warmup N
  --schedule constant|linear|cosine               --clip X (0 is none)    --maximum-length N
  --evaluate-every N      validation every N steps (default 20)
  --patience N            stop after N validations without a lower loss (default 0: never)

Where and what comes out
  --backend auto|webgpu|wasm|webgl                (default auto: the fastest)
  --adapter software|any  WebGPU in software, or whatever the machine has (default software)
  --json FILE             write the result there instead of to standard output
  --help

Progress goes to standard error. Exit code 0: done; 1: it could not be; 2: wrong flags; 130: interrupted.`

const TASK_FILES = ['.csv', '.tsv', '.json', '.jsonl']

/** @type {Record<string, { type: 'string' | 'boolean', multiple?: boolean }>} */
const FLAGS = {
  model: { type: 'string' },
  task: { type: 'string' },
  'text-column': { type: 'string' },
  'label-column': { type: 'string' },
  template: { type: 'string' },
  'label-word': { type: 'string', multiple: true },
  method: { type: 'string' },
  option: { type: 'string', multiple: true },
  steps: { type: 'string' },
  seconds: { type: 'string' },
  seed: { type: 'string' },
  'batch-size': { type: 'string' },
  'learning-rate': { type: 'string' },
  'weight-decay': { type: 'string' },
  warmup: { type: 'string' },
  schedule: { type: 'string' },
  clip: { type: 'string' },
  'evaluate-every': { type: 'string' },
  patience: { type: 'string' },
  'maximum-length': { type: 'string' },
  backend: { type: 'string' },
  adapter: { type: 'string' },
  json: { type: 'string' },
  help: { type: 'boolean' }
}

/** @param {string} message */
const wrong = (message) => new CommandError(`${message}\nSee npm run tune -- --help.`, 2)

/** Flags by name, with the checks that every kind of value needs. */
class Values {
  /** @param {Record<string, unknown>} values */
  constructor(values) {
    this.values = values
  }

  /** @param {string} name @returns {string | undefined} */
  text(name) {
    return /** @type {string | undefined} */ (this.values[name])
  }

  /** @param {string} name @param {{ minimum: number, whole?: boolean }} limits @returns {number | undefined} */
  number(name, { minimum, whole = true }) {
    const text = this.text(name)
    if (text === undefined) return undefined
    const value = Number(text)
    if (text.trim() === '' || !Number.isFinite(value) || value < minimum || (whole && !Number.isSafeInteger(value))) {
      throw wrong(`--${name} is "${text}"; it takes a ${whole ? 'whole ' : ''}number of at least ${minimum}.`)
    }
    return value
  }

  /** @template {string} T @param {string} name @param {readonly T[]} choices @returns {T | undefined} */
  choice(name, choices) {
    const text = this.text(name)
    const choice = choices.find((candidate) => candidate === text)
    if (text !== undefined && choice === undefined) throw wrong(`--${name} is "${text}"; it takes one of: ${choices.join(', ')}.`)
    return choice
  }

  /** @param {string} name @returns {Record<string, string>} of a repeatable `key=value` flag */
  pairs(name) {
    const texts = /** @type {string[]} */ (this.values[name] ?? [])
    return Object.fromEntries(
      texts.map((text) => {
        const cut = text.indexOf('=')
        if (cut < 1) throw wrong(`--${name} is "${text}"; it takes key=value.`)
        return [text.slice(0, cut), text.slice(cut + 1)]
      })
    )
  }
}

/** @typedef {{ path: string, prefix: string, folder: string }} Mount a folder outside dist/: what the page asks for, what the server knows, where it is */

/** @param {'models' | 'tasks'} kind @param {string} folder @returns {Mount} */
function mount(kind, folder) {
  const name = basename(folder)
  return { path: `mounted/${kind}/${encodeURIComponent(name)}`, prefix: `/mounted/${kind}/${name}/`, folder }
}

/** @param {Values} values @returns {Mount} */
function readModel(values) {
  const folder = resolve(values.text('model') ?? join(ROOT, 'public/models/tuneground-2m'))
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) throw new CommandError(`There is no folder ${folder} (--model).`)
  for (const file of ['config.json', 'tokenizer.json', 'model.safetensors']) {
    if (!existsSync(join(folder, file)))
      throw new CommandError(`${folder} has no ${file}: --model takes a folder in the Hugging Face layout.`)
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

/** @param {Values} values @returns {import('../src/engine/training/recipe').Budget} */
function readBudget(values) {
  const steps = values.number('steps', { minimum: 1 })
  const seconds = values.number('seconds', { minimum: 1, whole: false })
  if (steps !== undefined && seconds !== undefined) throw wrong('--steps and --seconds exclude each other: a run has one budget.')
  return seconds === undefined ? { kind: 'steps', steps: steps ?? 100 } : { kind: 'seconds', seconds }
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
 * Reads and checks the command line. Throws a `CommandError` that says which flag is wrong and what it takes.
 * @param {string[]} argv without node and script
 * @returns {'help' | { request: import('../src/headless').HeadlessRequest, mounts: Mount[], adapter: 'software' | 'any', output: string | undefined }}
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
  const seed = values.number('seed', { minimum: 0 }) ?? 1
  const backend = values.choice('backend', ['auto', 'webgpu', 'wasm', 'webgl'])
  const adapter = values.choice('adapter', ['software', 'any']) ?? 'software'
  const settings = {
    budget: readBudget(values),
    evaluateEvery: values.number('evaluate-every', { minimum: 1 }) ?? 20,
    patience: values.number('patience', { minimum: 0 }) ?? 0
  }
  const recipe = {
    method: values.text('method') ?? 'softPrompt',
    options: values.pairs('option'),
    learningRate: values.number('learning-rate', { minimum: 0, whole: false }),
    weightDecay: values.number('weight-decay', { minimum: 0, whole: false }),
    warmupSteps: values.number('warmup', { minimum: 0 }),
    schedule: values.choice('schedule', ['constant', 'linear', 'cosine']),
    clipNorm: values.number('clip', { minimum: 0, whole: false }),
    batchSize: values.number('batch-size', { minimum: 1 }),
    maximumLength: values.number('maximum-length', { minimum: 1 })
  }
  const output = readOutput(values.text('json'))
  const model = readModel(values)
  const task = readTask(values, seed)
  return {
    request: {
      modelPath: model.path,
      task: task.source,
      ...recipe,
      seed,
      settings,
      ...(backend === undefined || backend === 'auto' ? {} : { backend })
    },
    mounts: task.mount ? [model, task.mount] : [model],
    adapter,
    output
  }
}
