// Tells what was measured: a table for the terminal, a JSON file by adapter, and the newest results in docs/PERFORMANCE.md.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** @typedef {import('./types').Result} Result */

const RESULTS = fileURLToPath(new URL('results/', import.meta.url))
const DOCUMENT = fileURLToPath(new URL('../docs/PERFORMANCE.md', import.meta.url))
const BEGIN = '<!-- results: written by `npm run bench` -->'
const END = '<!-- /results -->'

const times = (/** @type {number | null} */ ratio) => (ratio === null ? 'an unknown number of times' : `${ratio.toFixed(1)} times`)

const number = (/** @type {number | null | undefined} */ value, digits = 1) => (value == null ? 'not measured' : value.toFixed(digits))

/** @param {string[]} head @param {(string | number)[][]} rows the first column is text, the others are numbers */
function table(head, rows) {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => String(row[column]).length)))
  const cell = (/** @type {string | number} */ value, /** @type {number} */ column) => {
    const width = widths[column] ?? 0
    return column === 0 ? String(value).padEnd(width) : String(value).padStart(width)
  }
  const line = (/** @type {(string | number)[]} */ row) => `| ${row.map(cell).join(' | ')} |`
  const rule = `| ${widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`
  return [line(head), rule, ...rows.map(line)].join('\n')
}

/** @param {Result} result @returns {string} one adapter's results as Markdown, which a terminal shows as well */
export function describe(result) {
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
  const tileNames = Object.keys(result.matmul[0]?.tiles ?? {})
  const tiles = table(
    ['product', ...tileNames, 'of the best'],
    result.matmul.map(({ mode, rows, columns, depth, tiles: speeds, chosen }) => [
      `${mode} ${rows} x ${columns} x ${depth}`,
      ...tileNames.map((name) => number(speeds[name], 2)),
      `${number((100 * (speeds[chosen] ?? NaN)) / Math.max(...Object.values(speeds)), 0)} %`
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
    tiles,
    ...(result.programs.length > 0 ? ['The full step by program, from timestamps around every dispatch:', programs] : [])
  ].join('\n\n')
}

/** @param {Result} result @returns {string} the file it was written to */
export function save(result) {
  mkdirSync(RESULTS, { recursive: true })
  const file = join(RESULTS, `${result.adapter.toLowerCase().replaceAll(/[^a-z0-9.]+/g, '-')}.json`)
  writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`)
  return file
}

/** Puts the saved results of all adapters between the markers of docs/PERFORMANCE.md. */
export function publish() {
  const results = readdirSync(RESULTS)
    .filter((file) => file.endsWith('.json'))
    .map((file) => {
      /** @type {Result} */
      const result = JSON.parse(readFileSync(join(RESULTS, file), 'utf8'))
      return result
    })
  const document = readFileSync(DOCUMENT, 'utf8')
  const [before, rest] = document.split(BEGIN)
  const after = rest?.split(END)[1]
  if (after === undefined) throw new Error(`docs/PERFORMANCE.md lacks the lines "${BEGIN}" and "${END}".`)
  writeFileSync(DOCUMENT, `${before}${BEGIN}\n\n${results.map(describe).join('\n\n')}\n\n${END}${after}`)
}
