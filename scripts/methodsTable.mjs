// The tables of docs/METHODS.md, made of finished runs and written between their markers.
import { TASKS, rows } from './methodsPlan.mjs'
import { spreadOf } from './tuneSummary.mjs'

/** @typedef {import('../src/headless/result').HeadlessResult} Result */
/** @typedef {import('../src/headless/result').PrintedMetrics} Metrics */
/** @typedef {{ experiment: import('./methodsPlan.mjs').Experiment, result: Result }} Run */

/** @param {Result} result */
const metricsOf = (result) => /** @type {Metrics} */ (result.metrics)

/** `0.703 ± 0.021`, or the number alone where there is one seed. @param {number[]} values @param {number} decimals */
function spread(values, decimals) {
  const { mean, standardDeviation } = spreadOf(values)
  return values.length > 1 ? `${mean.toFixed(decimals)} ± ${standardDeviation.toFixed(decimals)}` : mean.toFixed(decimals)
}

/** @param {string[][]} cells the head first @param {string} alignment a letter a column: l or r */
function table(cells, alignment) {
  const widths = [...alignment].map((_, column) => Math.max(4, ...cells.map((row) => [...(row[column] ?? '')].length)))
  const pad = (/** @type {string} */ text, /** @type {number} */ column) => {
    const room = ' '.repeat(Math.max(0, (widths[column] ?? 0) - [...text].length))
    return alignment[column] === 'r' ? room + text : text + room
  }
  const rule = widths.map((width, column) => (alignment[column] === 'r' ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width)))
  const lines = cells.map((row) => row.map(pad))
  return [lines[0], rule, ...lines.slice(1)].map((row) => `| ${(row ?? []).join(' | ')} |`).join('\n')
}

/** @param {Run[]} runs */
function numbersOf(runs) {
  const of = (/** @type {(result: Result) => number} */ read) => runs.map(({ result }) => read(result))
  return {
    accuracy: spread(
      of((result) => metricsOf(result).accuracy),
      3
    ),
    f1Macro: spread(
      of((result) => metricsOf(result).f1Macro),
      3
    ),
    forgotten: spread(
      of(({ forgetting }) => forgetting.after - forgetting.before),
      2
    ),
    seconds: spreadOf(of(({ cost }) => cost.seconds)).mean.toFixed(0)
  }
}

/** @param {Run[]} all @returns {string} one row a method and task, over its seeds */
export function methodsTable(all) {
  const head = ['task', 'method', 'seeds', 'accuracy', 'macro F1', 'parameters', 'adapter kB', 'seconds', 'peak MB', 'forgot']
  const body = TASKS.flatMap((task) =>
    rows.flatMap(({ id, title }) => {
      const runs = all.filter(({ experiment }) => experiment.table === 'methods' && experiment.task === task && experiment.row === id)
      const first = runs[0]?.result
      if (!first) return []
      const { accuracy, f1Macro, forgotten, seconds } = numbersOf(runs)
      const { trainableParameters, adapterBytes } = first.cost
      const peak = Math.max(...runs.map(({ result }) => result.cost.peakBytes))
      const cost =
        trainableParameters === 0
          ? ['0', '0', '0', '0']
          : [trainableParameters.toLocaleString('en-GB'), (adapterBytes / 1000).toFixed(1), seconds, (peak / 1e6).toFixed(0)]
      return [[task, title, String(runs.length), accuracy, f1Macro, ...cost, forgotten]]
    })
  )
  return table([head, ...body], 'llrrrrrrrr')
}

/** @param {Run[]} all @returns {string} one row a change to the soft prompt, by task */
export function helpTable(all) {
  const head = ['soft prompt with', ...TASKS.slice(0, 2).flatMap((task) => [`${task}: accuracy`, 'macro F1'])]
  const [first] = all
  /** @param {string} title @param {(run: Run) => boolean} isOf */
  const row = (title, isOf) => [
    title,
    ...TASKS.slice(0, 2).flatMap((task) => {
      const runs = all.filter((candidate) => candidate.experiment.task === task && isOf(candidate))
      return runs.length === 0 ? ['', ''] : [numbersOf(runs).accuracy, numbersOf(runs).f1Macro]
    })
  ]
  const titles = [...new Set(all.filter(({ experiment }) => experiment.table === 'help').map(({ experiment }) => experiment.title))]
  const plain = row(
    'the defaults',
    ({ experiment }) => experiment.row === 'softPrompt' && experiment.seed === (first?.experiment.seed ?? 1)
  )
  return table([head, plain, ...titles.map((title) => row(title, ({ experiment }) => experiment.title === title))], 'lrrrr')
}

/**
 * The page with the table between its markers. Throws where it has none of that name.
 * @param {string} page @param {string} name @param {string} text
 */
export function withTable(page, name, text) {
  const [begin, end] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`]
  const from = page.indexOf(begin)
  const to = page.indexOf(end)
  if (from < 0 || to < from) throw new Error(`The page has no markers for the table "${name}".`)
  return `${page.slice(0, from + begin.length)}\n\n${text}\n\n${page.slice(to)}`
}
