// Tells what was measured: a table for the terminal, a JSON file by adapter, and the newest results in docs/PERFORMANCE.md.
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describeLarge } from './largeReport.mjs'
import { number, table, tileTable } from './table.mjs'

/** @typedef {import('./types').Result} Result */

const RESULTS = fileURLToPath(new URL('results/', import.meta.url))
const DOCUMENT = fileURLToPath(new URL('../docs/PERFORMANCE.md', import.meta.url))
const BEGIN = '<!-- results: written by `npm run bench` -->'
const END = '<!-- /results -->'

const times = (/** @type {number | null} */ ratio) => (ratio === null ? 'an unknown number of times' : `${ratio.toFixed(1)} times`)

/** What is written of an adapter of which only the large model was measured. @type {Omit<Result, 'adapter' | 'host'>} */
const UNMEASURED = {
  measuredAt: '',
  cores: 0,
  load: 0,
  rounds: 0,
  ratios: { composed: null, jaxjs: null, nanogpt: null, frozenToFull: null },
  jsMillisecondsPerStep: null,
  peakToResident: null,
  dispatches: { full: null, softPrompt: null },
  steps: [],
  programs: [],
  matmul: [],
  scaling: {}
}

/** @param {Result} result @returns {string} one adapter's results as Markdown, which a terminal shows as well */
export function describe(result) {
  const parts = [
    ...(result.steps.length > 0 ? [describeSmall(result)] : []),
    ...(result.large ? [describeLarge(result.adapter, result.large)] : [])
  ]
  return parts.join('\n\n')
}

/** @param {Result} result */
function describeSmall(result) {
  const { ratios, dispatches, scaling } = result
  const steps = table(
    ['step', 'ms', 'tokens/s', 'JS ms', 'dispatches', 'peak MB', 'bytes a token'],
    result.steps.map((step) => [
      step.name,
      number(step.milliseconds, 0),
      number(step.tokensPerSecond, 0),
      number(step.jsMilliseconds),
      step.dispatches ?? '',
      step.peakBytes ? number(step.peakBytes / 1e6) : '',
      step.bytesPerToken ? Math.round(step.bytesPerToken) : ''
    ])
  )
  const whole = result.programs.reduce((sum, { milliseconds }) => sum + milliseconds, 0)
  const programs = table(
    ['program', 'GPU ms', 'dispatches', 'share'],
    result.programs
      .slice(0, 10)
      .map((row) => [row.program, number(row.milliseconds, 2), row.dispatches, `${number((100 * row.milliseconds) / whole, 0)} %`])
  )
  return [
    `### ${result.adapter} (${result.host})`,
    `Measured on ${result.measuredAt.slice(0, 10)}, ${result.cores} cores at a load of ${number(result.load)}, medians of ${result.rounds} rounds in turn.`,
    steps,
    `A full step takes composed TensorFlow.js ${times(ratios.composed)}, jax-js ${times(ratios.jaxjs)} and nanogpt ${times(ratios.nanogpt)} as long as ours; a soft prompt's step takes ${number(ratios.frozenToFull, 2)} of a full one. ` +
      `Dispatches: ${dispatches.full} (full), ${dispatches.softPrompt} (soft prompt). JavaScript: ${number(result.jsMillisecondsPerStep, 2)} ms a full step. Peak: ${number(result.peakToResident, 2)} of weights and optimiser state.`,
    `Step time grows ${Object.values(scaling)
      .map(({ name, exponent, points }) => `with ${name} to the power ${number(exponent, 2)} (${points.map(([size]) => size).join(', ')})`)
      .join('; ')}.`,
    `GFLOP/s of matrix products by tile, and what the chosen tile reaches of the best:`,
    tileTable(result.matmul),
    ...(result.programs.length > 0 ? ['The full step by program, from timestamps around every dispatch:', programs] : [])
  ].join('\n\n')
}

const fileOf = (/** @type {string} */ adapter) => join(RESULTS, `${adapter.toLowerCase().replaceAll(/[^a-z0-9.]+/g, '-')}.json`)

/** @param {string} file */
function read(file) {
  /** @type {Result} */
  const result = JSON.parse(readFileSync(file, 'utf8'))
  return result
}

/**
 * What `part` lacks stays as it was last measured.
 * @param {Partial<Result> & Pick<Result, 'adapter' | 'host'>} part @returns {string} the file it was written to
 */
export function save(part) {
  mkdirSync(RESULTS, { recursive: true })
  const file = fileOf(part.adapter)
  const whole = { ...UNMEASURED, ...(existsSync(file) && read(file)), ...part }
  writeFileSync(file, `${JSON.stringify(whole, null, 2)}\n`)
  return file
}

/** Puts the saved results of all adapters between the markers of docs/PERFORMANCE.md. */
export function publish() {
  const results = readdirSync(RESULTS)
    .filter((file) => file.endsWith('.json'))
    .map((file) => read(join(RESULTS, file)))
  const document = readFileSync(DOCUMENT, 'utf8')
  const [before, rest] = document.split(BEGIN)
  const after = rest?.split(END)[1]
  if (after === undefined) throw new Error(`docs/PERFORMANCE.md lacks the lines "${BEGIN}" and "${END}".`)
  writeFileSync(DOCUMENT, `${before}${BEGIN}\n\n${results.map(describe).join('\n\n')}\n\n${END}${after}`)
}
