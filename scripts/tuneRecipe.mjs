// The recipe that `npm run tune` is asked for: a file or flags, checked for its shape; what its values mean is checked by the engine.
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { CommandError } from './ensure.mjs'
import { wrong } from './tuneFlags.mjs'

/** @typedef {import('../src/headless/request').HeadlessPart} Part */
/** @typedef {Pick<import('../src/headless/request').HeadlessRequest, 'parts' | 'schedule' | 'optimiser' | 'batchSize' | 'maximumLength' | 'gradientCheckpointing'> & { seed?: number }} Recipe */
/** @typedef {import('./tuneFlags.mjs').Values} Values */
/** @typedef {(value: unknown, at: string) => void} Check throws an `Error` that says where `value` is not what it should be */

/** @param {unknown} value @returns {value is Record<string, unknown>} */
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value)

/** @param {boolean} isRight @param {unknown} value @param {string} at @param {string} wanted */
function expect(isRight, value, at, wanted) {
  if (!isRight) throw new Error(`${at} should be ${wanted} and is ${JSON.stringify(value)?.slice(0, 60)}`)
}

/** @type {Check} */
const number = (value, at) => expect(typeof value === 'number', value, at, 'a number')
/** @type {Check} */
const text = (value, at) => expect(typeof value === 'string', value, at, 'a text')
/** @type {Check} */
const flag = (value, at) => expect(typeof value === 'boolean', value, at, 'true or false')
/** @type {Check} */
const simple = (value, at) => expect(['string', 'number', 'boolean'].includes(typeof value), value, at, 'a text, a number, true or false')

/** @param {Check} check @returns {Check} */
const listOf = (check) => (value, at) => {
  const entries = Array.isArray(value) ? /** @type {unknown[]} */ (value) : []
  expect(entries.length > 0, value, at, 'a list with at least one entry')
  entries.forEach((entry, i) => check(entry, `${at}[${i}]`))
}

/** @param {Check} check @returns {Check} of any names */
const mapOf = (check) => (value, at) => {
  expect(isObject(value), value, at, 'an object')
  for (const [name, entry] of Object.entries(/** @type {Record<string, unknown>} */ (value))) check(entry, `${at}.${name}`)
}

/** @param {Record<string, Check>} needed @param {Record<string, Check>} [optional] @returns {Check} */
const object =
  (needed, optional = {}) =>
  (value, at) => {
    mapOf(() => undefined)(value, at)
    const fields = { ...needed, ...optional }
    const given = /** @type {Record<string, unknown>} */ (value)
    for (const [name, entry] of Object.entries(given)) {
      if (!fields[name]) throw new Error(`${at} has no field ${JSON.stringify(name)}; it has ${Object.keys(fields).join(', ')}`)
      fields[name](entry, `${at}.${name}`)
    }
    const missing = Object.keys(needed).find((name) => given[name] === undefined)
    if (missing !== undefined) throw new Error(`${at}.${missing} is missing`)
  }

const part = object(
  { method: text },
  { options: mapOf(simple), learningRate: number, weightDecay: number, window: object({ from: number, to: number }) }
)
const recipe = object(
  { parts: listOf(part) },
  {
    schedule: object({}, { kind: text, warmupSteps: number }),
    optimiser: object({}, { beta1: number, beta2: number, epsilon: number, clipNorm: number }),
    batchSize: number,
    maximumLength: number,
    gradientCheckpointing: flag,
    seed: number
  }
)

/** Reads a recipe from a JSON file. Throws a `CommandError` that names the field that is wrong. @param {string} file @returns {Recipe} */
function readRecipeFile(file) {
  const path = resolve(file)
  /** @type {unknown} */
  let json
  try {
    json = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    const what = error instanceof SyntaxError ? `is not JSON: ${error.message}` : 'cannot be read'
    throw new CommandError(`${path} ${what} (--recipe).`)
  }
  try {
    recipe(json, 'recipe')
  } catch (error) {
    throw new CommandError(`${path}: ${/** @type {Error} */ (error).message} (--recipe).`)
  }
  const checked = /** @type {Recipe} */ (json)
  return { ...checked, parts: checked.parts.map((entry) => ({ ...entry, options: entry.options ?? {} })) }
}

/** What a recipe's flags say; undefined where they are not given. @param {Values} values @returns {Omit<Recipe, 'parts'>} */
function readRecipeFlags(values) {
  const warmupSteps = values.number('warmup', { minimum: 0 })
  const kind = values.choice('schedule', ['constant', 'linear', 'cosine'])
  const clipNorm = values.number('clip', { minimum: 0, whole: false })
  const batchSize = values.number('batch-size', { minimum: 1 })
  const maximumLength = values.number('maximum-length', { minimum: 1 })
  return {
    schedule: { ...(kind !== undefined && { kind }), ...(warmupSteps !== undefined && { warmupSteps }) },
    optimiser: { ...(clipNorm !== undefined && { clipNorm }) },
    ...(batchSize !== undefined && { batchSize }),
    ...(maximumLength !== undefined && { maximumLength }),
    ...(values.values['gradient-checkpointing'] === true && { gradientCheckpointing: true })
  }
}

/** @param {Values} values @returns {Recipe} */
export function readRecipe(values) {
  const flags = readRecipeFlags(values)
  const learningRate = values.number('learning-rate', { minimum: 0, whole: false })
  const weightDecay = values.number('weight-decay', { minimum: 0, whole: false })
  const sources = ['recipe', 'method', 'adapter'].filter((name) => values.values[name] !== undefined)
  if (sources.length > 1) throw wrong(`--${sources.join(' and --')} exclude each other: each says what is tuned.`)
  const rates = { ...(learningRate !== undefined && { learningRate }), ...(weightDecay !== undefined && { weightDecay }) }
  if (values.values.adapter !== undefined && values.values.option !== undefined)
    throw wrong('--option belongs to --method: an adapter has its own.')
  const file = values.text('recipe')
  if (file !== undefined) {
    const spoken = ['option', 'learning-rate', 'weight-decay'].find((name) => values.values[name] !== undefined)
    if (spoken) throw wrong(`--${spoken} belongs to one method; a recipe says it in each of its parts.`)
    const recipe = readRecipeFile(file)
    return {
      ...recipe,
      ...flags,
      schedule: { ...recipe.schedule, ...flags.schedule },
      optimiser: { ...recipe.optimiser, ...flags.optimiser }
    }
  }
  return { ...flags, parts: [{ method: values.text('method') ?? 'softPrompt', options: values.pairs('option'), ...rates }] }
}
