// `npm start`: from a fresh clone to the page in the browser.
import { spawn } from 'node:child_process'
import util from 'node:util'
import { CommandError, DIST, ensureBuild, ensureDependencies, ensureNode, runCommand } from './ensure.mjs'

const USAGE = `Usage: npm start -- [--port 4173] [--no-open]

Installs and builds where needed, and serves Tuneground on localhost.
  --port N    first port to try; the next free one is taken
  --no-open   do not open a browser`

/** @returns {{ port: number, open: boolean, help: boolean }} */
function readArguments() {
  try {
    const { values } = util.parseArgs({
      options: {
        port: { type: 'string', default: '4173' },
        'no-open': { type: 'boolean', default: false },
        help: { type: 'boolean', default: false }
      }
    })
    const port = Number(values.port)
    if (!Number.isInteger(port) || port < 1 || port > 65535) throw new Error(`--port is ${values.port}; it must be between 1 and 65535.`)
    return { port, open: !values['no-open'], help: values.help }
  } catch (error) {
    throw new CommandError(`${/** @type {Error} */ (error).message}\n\n${USAGE}`, 2)
  }
}

/** Opens the address in the person's browser, where there is a display; that it cannot is no error. @param {string} url */
function openBrowser(url) {
  const hasDisplay = process.platform !== 'linux' || process.env.DISPLAY || process.env.WAYLAND_DISPLAY
  if (process.env.CI || !hasDisplay) return
  const [command, ...args] =
    process.platform === 'darwin' ? ['open', url] : process.platform === 'win32' ? ['cmd', '/c', 'start', '', url] : ['xdg-open', url]
  spawn(/** @type {string} */ (command), args, { stdio: 'ignore', detached: true })
    .on('error', () => {})
    .unref()
}

await runCommand(async () => {
  ensureNode()
  const { port, open, help } = readArguments()
  if (help) return void console.log(USAGE)
  await ensureDependencies()
  await ensureBuild()
  // Loaded only now: an old Node must fail at ensureNode, with its message.
  const { serve } = await import('./serve.mjs')
  const { url, close } = await serve({ mounts: { '/': DIST }, port })
  console.log(`\n  Tuneground runs at ${url}\n  Press Ctrl-C to stop.\n`)
  if (open) openBrowser(url)
  await new Promise((done) => {
    process.once('SIGINT', done)
    process.once('SIGTERM', done)
  })
  await close()
})
