// `npm run tune`: one run without hands. Headless Chromium drives the same engine as the page; the result is JSON.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CommandError, DIST, ROOT, ensureBrowser, ensureBuild, ensureDependencies, ensureNode, runCommand } from './ensure.mjs'
import { USAGE, readTuneArguments } from './tuneArguments.mjs'

/** Rejects once the person presses Ctrl-C. @returns {Promise<never>} */
function interruption() {
  return new Promise((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => reject(new CommandError('Interrupted.', 130)))
  })
}

/** @typedef {Exclude<ReturnType<typeof readTuneArguments>, 'help'>} Job */
/** @typedef {import('../src/headless').HeadlessResult} HeadlessResult */

/**
 * Runs the request on the headless page. Throws a `CommandError` where the engine, the browser or the person ends it early.
 * @param {import('playwright').Browser} browser @param {string} siteUrl @param {Job['request']} request
 * @returns {Promise<HeadlessResult>}
 */
async function tuneOnPage(browser, siteUrl, request) {
  // No service worker: it would answer from an earlier build.
  const page = await browser.newPage({ serviceWorkers: 'block' })
  /** @type {Promise<never>} */
  const lost = new Promise((_, reject) => {
    page.once('crash', () =>
      reject(new CommandError('The browser ran out of memory. Use a smaller model, --batch-size or --maximum-length.'))
    )
    browser.once('disconnected', () => reject(new CommandError('The browser was closed.')))
  })
  lost.catch(() => undefined)
  await page.exposeFunction('reportProgress', (/** @type {string} */ line) => console.error(line))
  await page.goto(`${siteUrl}headless.html`)
  const answer = await Promise.race([page.evaluate((asked) => window.tuneground.tune(asked), request), lost])
  if ('problem' in answer) throw new CommandError(`${answer.problem.message}\n${answer.problem.advice}`)
  return answer.result
}

/** @param {string} chromium @returns {Record<string, string>} of all that has a part in the numbers */
function versions(chromium) {
  /** @type {{ version: string, dependencies: Record<string, string> }} */
  const { version, dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  return { tuneground: version, tensorflowjs: dependencies['@tensorflow/tfjs'] ?? '', chromium, node: process.version }
}

/** @param {Job} job @returns {Promise<HeadlessResult & { versions: Record<string, string> }>} from a server and a browser that are closed afterwards, whatever happens */
async function tune({ request, mounts, adapter }) {
  const { chromium } = await import('playwright')
  const { chromiumFlags } = await import('./chromium.mjs')
  const { serve } = await import('./serve.mjs')
  const executablePath = await ensureBrowser({ quiet: true })
  const site = await serve({ mounts: { '/': DIST, ...Object.fromEntries(mounts.map(({ prefix, folder }) => [prefix, folder])) } })
  try {
    const args = chromiumFlags({ webgpu: adapter })
    const browser = await chromium.launch({ executablePath, args, handleSIGINT: false, handleSIGTERM: false })
    const interrupted = interruption()
    try {
      const result = await Promise.race([tuneOnPage(browser, site.url, request), interrupted])
      return { ...result, versions: versions(browser.version()) }
    } finally {
      await browser.close()
    }
  } finally {
    await site.close()
  }
}

await runCommand(async () => {
  ensureNode()
  const job = readTuneArguments(process.argv.slice(2))
  if (job === 'help') return void console.log(USAGE)
  await ensureDependencies({ quiet: true })
  await ensureBuild({ quiet: true })
  const text = `${JSON.stringify(await tune(job), null, 2)}\n`
  if (job.output === undefined) process.stdout.write(text)
  else {
    writeFileSync(job.output, text)
    console.error(`Written to ${job.output}`)
  }
})
