// `npm test`: from a fresh clone to every check, with a summary at the end. `npm test -- unit e2e` runs just those.
import { CommandError, ensureBrowser, ensureBuild, ensureDependencies, ensureNode, run, runCommand } from './ensure.mjs'

const ESLINT = 'node_modules/eslint/bin/eslint.js'
const PRETTIER = 'node_modules/prettier/bin/prettier.cjs'
const SVELTE_CHECK = 'node_modules/svelte-check/bin/svelte-check'
const VITEST = 'node_modules/vitest/vitest.mjs'
const PLAYWRIGHT = 'node_modules/@playwright/test/cli.js'

/**
 * Every check, in the order in which it runs: the quick ones first.
 * @type {Record<string, { commands: string[][], prepare?: () => Promise<unknown> }>}
 */
const STAGES = {
  lint: {
    commands: [
      [ESLINT, '.'],
      [PRETTIER, '--check', '--log-level', 'warn', '.']
    ]
  },
  types: { commands: [[SVELTE_CHECK, '--tsconfig', './tsconfig.json', '--fail-on-warnings', '--output', 'human']] },
  unit: { commands: [[VITEST, 'run', '--project', 'unit']] },
  engine: { commands: [[VITEST, 'run', '--project', 'engine']], prepare: () => ensureBrowser() },
  parity: { commands: [['scripts/parity.mjs']], prepare: () => ensureBrowser() },
  e2e: { commands: [[PLAYWRIGHT, 'test']], prepare: () => ensureBrowser().then(() => ensureBuild()) }
}

/** @param {string[]} names @returns {string[]} the stages asked for, all where none is named */
function chosenStages(names) {
  const unknown = names.find((name) => !(name in STAGES))
  if (unknown !== undefined) throw new CommandError(`There is no stage "${unknown}". The stages are: ${Object.keys(STAGES).join(', ')}.`, 2)
  return names.length > 0 ? names : Object.keys(STAGES)
}

/** @param {string} name @returns {Promise<{ name: string, passed: boolean, seconds: number }>} */
async function runStage(name) {
  const { commands, prepare } = /** @type {(typeof STAGES)[string]} */ (STAGES[name])
  console.log(`\n━━━ ${name} ━━━`)
  const start = Date.now()
  let passed = true
  try {
    await prepare?.()
    for (const command of commands) passed = (await run(process.execPath, command)) === 0 && passed
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    console.error(error.message)
    passed = false
  }
  return { name, passed, seconds: (Date.now() - start) / 1000 }
}

await runCommand(async () => {
  ensureNode()
  const names = chosenStages(process.argv.slice(2))
  await ensureDependencies()
  const results = []
  for (const name of names) results.push(await runStage(name))
  console.log('\n━━━ summary ━━━')
  for (const { name, passed, seconds } of results) {
    console.log(`${passed ? 'passed' : 'FAILED'}  ${name.padEnd(8)} ${seconds.toFixed(1).padStart(7)} s`)
  }
  return results.every(({ passed }) => passed) ? 0 : 1
})
