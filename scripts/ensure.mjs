// Brings a fresh clone to where a command can run: Node, dependencies, browser, build. Node built-ins only, until dependencies are there.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository. */
export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))

/** The built page. */
export const DIST = join(ROOT, 'dist')

const SOURCES = [
  'src',
  'public',
  'index.html',
  'headless.html',
  'vite.config.ts',
  'svelte.config.js',
  'scripts/csp.mjs',
  'package-lock.json'
]

/** Beside the built files, so that a build of other sources is noticed; the server never sends dot files. */
const STAMP = join(DIST, '.sources')

/** A problem for the person at the terminal, shown without a stack trace. Exit code 2 says that the command was typed wrong. */
export class CommandError extends Error {
  /** @param {string} message @param {number} [exitCode] */
  constructor(message, exitCode = 1) {
    super(message)
    this.exitCode = exitCode
  }
}

/**
 * Runs a command's main function; a `CommandError` becomes its message and exit code.
 * @param {() => Promise<number | void>} main may return an exit code
 */
export async function runCommand(main) {
  try {
    process.exitCode = (await main()) || 0
  } catch (error) {
    console.error(error instanceof CommandError ? `\n${error.message}` : error)
    process.exitCode = error instanceof CommandError ? error.exitCode : 1
  }
}

/** @param {string} version such as `v22.13.0` @returns {boolean} whether the tool chain runs on it: ^20.19, ^22.13, or 24 and later */
export function isNodeSupported(version) {
  const [major = 0, minor = 0] = version.replace(/^v/, '').split('.').map(Number)
  return (major === 20 && minor >= 19) || (major === 22 && minor >= 13) || major >= 24
}

/** Throws a `CommandError` where this Node is too old. */
export function ensureNode() {
  if (isNodeSupported(process.version)) return
  throw new CommandError(
    `Tuneground needs Node 20.19 or later (or 22.13 or later); this is ${process.version}. Get the current one from https://nodejs.org.`
  )
}

/**
 * Runs a program with our terminal; resolves to its exit code.
 * @param {string} command @param {string[]} args
 * @param {{ env?: NodeJS.ProcessEnv, timeout?: number, quiet?: boolean, mayFail?: boolean }} [options]
 *   `quiet` sends its standard output to our standard error; `mayFail` drops all that it prints
 * @returns {Promise<number>}
 */
export function run(command, args, { env = process.env, timeout, quiet = false, mayFail = false } = {}) {
  return new Promise((done) => {
    const child = spawn(command, args, {
      cwd: ROOT,
      env,
      timeout,
      stdio: mayFail ? 'ignore' : ['ignore', quiet ? 2 : 'inherit', 'inherit']
    })
    child.on('error', () => done(127))
    child.on('close', (code) => done(code ?? 1))
  })
}

/** @param {string[]} args @param {{ quiet?: boolean }} [options] */
function npm(args, options) {
  const script = process.env.npm_execpath
  if (script?.endsWith('.js')) return run(process.execPath, [script, ...args], options)
  return process.platform === 'win32' ? run('cmd', ['/c', 'npm', ...args], options) : run('npm', args, options)
}

/** @typedef {{ packages: Record<string, { version?: string, optional?: boolean }> }} LockFile */

/** @param {string} path @returns {LockFile['packages'] | undefined} */
function lockedPackages(path) {
  if (!existsSync(path)) return undefined
  /** @type {LockFile} */
  const lockFile = JSON.parse(readFileSync(path, 'utf8'))
  return lockFile.packages
}

/** @returns {boolean} whether node_modules holds what package-lock.json asks for; npm writes its own record last, so half an install does not count */
function areDependenciesCurrent() {
  const wanted = lockedPackages(join(ROOT, 'package-lock.json')) ?? {}
  const installed = lockedPackages(join(ROOT, 'node_modules', '.package-lock.json'))
  return (
    installed !== undefined &&
    Object.entries(wanted).every(([path, { version, optional }]) => path === '' || optional || installed[path]?.version === version)
  )
}

/**
 * Installs the locked dependencies where they are missing or differ from the lock file.
 * @param {{ quiet?: boolean }} [options]
 */
export async function ensureDependencies(options) {
  if (areDependenciesCurrent()) return
  console.error('Installing dependencies …')
  if ((await npm(['ci', '--no-audit', '--no-fund'], options)) !== 0) {
    throw new CommandError('The dependencies could not be installed: see npm above. Check the connection and run the command again.')
  }
}

/** @param {string} path @returns {string[]} path, size and time of every file below */
function inventory(path) {
  const info = statSync(join(ROOT, path), { throwIfNoEntry: false })
  if (!info) return []
  if (!info.isDirectory()) return [`${path} ${info.size} ${info.mtimeMs}`]
  return readdirSync(join(ROOT, path))
    .sort()
    .flatMap((name) => inventory(`${path}/${name}`))
}

const fingerprint = () => createHash('sha256').update(SOURCES.flatMap(inventory).join('\n')).digest('hex')

/**
 * Builds the page into dist/ where it is missing or its sources changed.
 * @param {{ quiet?: boolean }} [options]
 */
export async function ensureBuild(options) {
  const sources = fingerprint()
  if (existsSync(join(DIST, 'index.html')) && existsSync(STAMP) && readFileSync(STAMP, 'utf8') === sources) return
  console.error('Building the page …')
  if ((await run(process.execPath, ['node_modules/vite/bin/vite.js', 'build', '--logLevel', 'warn'], options)) !== 0) {
    throw new CommandError('The page could not be built: see above.')
  }
  writeFileSync(STAMP, sources)
}

/** @param {string} command */
const succeeds = (command) => spawnSync('sh', ['-c', command], { stdio: 'ignore' }).status === 0

/**
 * Finds a Chromium or installs one: Playwright's, else Debian's. Needs the dependencies.
 * @param {{ quiet?: boolean }} [options]
 * @returns {Promise<string>} its path
 */
export async function ensureBrowser(options) {
  const { findChromium } = await import('./chromium.mjs')
  const found = findChromium()
  if (found) return found
  console.error('No Chromium found: downloading one (about 180 MB) …')
  const isRoot = process.getuid?.() === 0
  const playwright = 'node_modules/playwright/cli.js'
  const env = { ...process.env, PLAYWRIGHT_DOWNLOAD_CONNECTION_TIMEOUT: '15000' }
  await run(process.execPath, [playwright, 'install', '--no-shell', 'chromium'], { ...options, env, timeout: 300_000, mayFail: true })
  const own = findChromium()
  if (own) {
    if (isRoot && process.platform === 'linux')
      await run(process.execPath, [playwright, 'install-deps', 'chromium'], { ...options, timeout: 600_000 })
    return own
  }
  const aptGet = `${isRoot ? '' : 'sudo -n '}env DEBIAN_FRONTEND=noninteractive apt-get`
  if (process.platform === 'linux' && succeeds('command -v apt-get') && (isRoot || succeeds('sudo -n true'))) {
    console.error("It could not be downloaded: trying Debian's package …")
    const install = `${aptGet} update && ${aptGet} install -y --no-install-recommends chromium`
    await run('sh', ['-c', install], { ...options, timeout: 600_000 })
    const debian = findChromium()
    if (debian) return debian
  }
  throw new CommandError(
    'There is no Chromium or Chrome, and none could be installed. Install one, or set CHROME_PATH to one, and try again.'
  )
}
