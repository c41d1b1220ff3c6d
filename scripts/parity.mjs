// Runs the parity tests alone, on the fixtures of GOLDEN_DIR or the repository's own; exits with their code.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { goldenFolder } from './goldenServer.mjs'

try {
  const { path, own } = goldenFolder()
  console.log(`Golden fixtures: ${path}`)
  const vitest = fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url))
  const { status } = spawnSync(
    process.execPath,
    [vitest, 'run', '--project', 'parity', '--reporter', 'verbose', ...process.argv.slice(2)],
    {
      cwd: fileURLToPath(new URL('..', import.meta.url)),
      env: own ? process.env : { ...process.env, GOLDEN_DIR: path },
      stdio: 'inherit'
    }
  )
  process.exitCode = status ?? 1
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
