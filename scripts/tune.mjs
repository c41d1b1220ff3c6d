// `npm run tune`: one run without hands. Headless Chromium drives the same engine as the page; the result is JSON.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { CommandError, DIST, ROOT, ensureBrowser, ensureBuild, ensureDependencies, ensureNode, runCommand } from './ensure.mjs'
import { summaryOf } from './tuneSummary.mjs'
import { readTuneArguments } from './tuneArguments.mjs'
import { USAGE } from './tuneFlags.mjs'

/** Rejects once the person presses Ctrl-C. @returns {Promise<never>} */
function interruption() {
  return new Promise((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => reject(new CommandError('Interrupted.', 130)))
  })
}

/** @typedef {import('./tuneArguments.mjs').Job} Job */
/** @typedef {import('../src/headless/result').HeadlessResult} HeadlessResult */

/**
 * Runs a request on the headless page. Throws a `CommandError` where the engine, the browser or the person ends it early.
 * @param {import('playwright').Browser} browser @param {string} siteUrl @param {Job['requests'][number]} request
 * @param {string | undefined} folder to unpack what was tuned into
 * @returns {Promise<HeadlessResult>}
 */
async function tuneOnPage(browser, siteUrl, request, folder) {
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
  const saved = folder === undefined ? undefined : page.waitForEvent('download', { timeout: 0 })
  saved?.catch(() => undefined)
  await page.exposeFunction('reportProgress', (/** @type {string} */ line) => console.error(line))
  await page.goto(`${siteUrl}headless.html`)
  const answer = await Promise.race([page.evaluate((asked) => window.tuneground.tune(asked), request), lost])
  if ('problem' in answer) throw new CommandError(`${answer.problem.message}\n${answer.problem.advice}`)
  if (saved && folder !== undefined) await unpack(readFileSync(await (await saved).path()), folder)
  // The next seed gets a browser as fresh as this one's.
  await page.context().close()
  return answer.result
}

/** @param {Buffer} zip @param {string} folder */
async function unpack(zip, folder) {
  const { unzipSync } = await import('fflate')
  for (const [name, bytes] of Object.entries(unzipSync(zip))) {
    const path = join(folder, name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, bytes)
  }
  console.error(`Exported to ${folder}`)
}

/** @param {string} chromium @returns {Record<string, string>} of all that has a part in the numbers */
function versions(chromium) {
  /** @type {{ version: string, dependencies: Record<string, string> }} */
  const { version, dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  return { tuneground: version, tensorflowjs: dependencies['@tensorflow/tfjs'] ?? '', chromium, node: process.version }
}

/** @typedef {HeadlessResult & { versions: Record<string, string> }} Printed */

/** @param {Job} job @returns {Promise<Printed[]>} one for each seed, from a server and a browser that are closed afterwards, whatever happens */
async function tune({ requests, mounts, webgpu, export: exported }) {
  const { chromium } = await import('playwright')
  const { chromiumFlags } = await import('./chromium.mjs')
  const { serve } = await import('./serve.mjs')
  const executablePath = await ensureBrowser({ quiet: true })
  const site = await serve({ mounts: { '/': DIST, ...Object.fromEntries(mounts.map(({ prefix, folder }) => [prefix, folder])) } })
  try {
    const args = chromiumFlags({ webgpu })
    const browser = await chromium.launch({ executablePath, args, handleSIGINT: false, handleSIGTERM: false })
    const interrupted = interruption()
    interrupted.catch(() => undefined)
    try {
      const results = []
      for (const request of requests) {
        if (requests.length > 1) console.error(`seed ${request.seed}`)
        const folder = exported && (requests.length > 1 ? join(exported.folder, `seed-${request.seed}`) : exported.folder)
        const result = await Promise.race([tuneOnPage(browser, site.url, request, folder), interrupted])
        results.push({ ...result, versions: versions(browser.version()) })
      }
      return results
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
  const results = await tune(job)
  const printed = results.length === 1 ? results[0] : { summary: summaryOf(results), runs: results }
  const text = `${JSON.stringify(printed, null, 2)}\n`
  if (job.output === undefined) process.stdout.write(text)
  else {
    writeFileSync(job.output, text)
    console.error(`Written to ${job.output}`)
  }
})
