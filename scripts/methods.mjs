// `npm run methods`: every method on three tasks under several seeds, with the embedded model; the table in docs/METHODS.md is made of what is there.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import util from 'node:util'
import { CommandError, ROOT, ensureBuild, ensureDependencies, ensureNode, run, runCommand } from './ensure.mjs'
import { experiments } from './methodsPlan.mjs'
import { helpTable, methodsTable, withTable } from './methodsTable.mjs'

const RESULTS = join(ROOT, 'bench/results/methods')
const PAGE = join(ROOT, 'docs/METHODS.md')

const USAGE = `Usage: npm run methods -- [flags]

Makes each run that is not in bench/results/methods/ yet, and writes the tables of docs/METHODS.md anew. It may be stopped and started again.

  --only PATTERN   runs whose name (task-method-s1) matches this regular expression
  --seeds N,N,...  default 1,2,3
  --list           the names of the runs, and which are there
  --table          only writes the tables
  --help`

/** @typedef {import('../src/headless/result').HeadlessResult} Result */
/** @typedef {import('./methodsPlan.mjs').Experiment} Experiment */

/** @param {string} name */
const fileOf = (name) => join(RESULTS, `${name}.json`)

/** @param {Experiment} experiment @returns {Result | undefined} */
function resultOf({ name }) {
  return existsSync(fileOf(name)) ? /** @type {Result} */ (JSON.parse(readFileSync(fileOf(name), 'utf8'))) : undefined
}

/** @param {Experiment} experiment */
async function make({ name, task, seed, steps, parts }) {
  const [recipe, result] = [`${fileOf(name)}.recipe`, `${fileOf(name)}.part`]
  writeFileSync(recipe, JSON.stringify({ parts }))
  const flags = ['--task', `public/tasks/${task}`, '--recipe', recipe, '--seed', String(seed), '--steps', String(steps)]
  const code = await run(process.execPath, ['scripts/tune.mjs', ...flags, '--backend', 'wasm', '--json', result], {
    quiet: true,
    mayFail: true
  })
  // Under its own name only when it is whole, so that a stopped run is made again.
  if (code === 0) renameSync(result, fileOf(name))
  else console.error(`${name} failed (${code}).`)
}

function writeTables() {
  const all = experiments([1, 2, 3]).flatMap((experiment) => {
    const result = resultOf(experiment)
    return result ? [{ experiment, result }] : []
  })
  const page = withTable(withTable(readFileSync(PAGE, 'utf8'), 'methods', methodsTable(all)), 'help', helpTable(all))
  writeFileSync(PAGE, page)
}

await runCommand(async () => {
  ensureNode()
  const { values } = util.parseArgs({
    options: {
      only: { type: 'string' },
      seeds: { type: 'string' },
      list: { type: 'boolean' },
      table: { type: 'boolean' },
      help: { type: 'boolean' }
    }
  })
  if (values.help) return void console.log(USAGE)
  const seeds = (values.seeds ?? '1,2,3').split(',').map(Number)
  if (!seeds.every(Number.isSafeInteger)) throw new CommandError('--seeds takes whole numbers with commas between them.', 2)
  const pattern = new RegExp(values.only ?? '')
  const wanted = experiments(seeds).filter(({ name }) => pattern.test(name))
  if (values.list) {
    for (const experiment of wanted) console.log(`${existsSync(fileOf(experiment.name)) ? 'there  ' : 'missing'} ${experiment.name}`)
    return
  }
  mkdirSync(RESULTS, { recursive: true })
  const missing = values.table ? [] : wanted.filter(({ name }) => !existsSync(fileOf(name)))
  if (missing.length > 0) {
    await ensureDependencies({ quiet: true })
    await ensureBuild({ quiet: true })
  }
  for (const [i, experiment] of missing.entries()) {
    console.error(`${i + 1} of ${missing.length}: ${experiment.name}`)
    await make(experiment)
  }
  writeTables()
})
