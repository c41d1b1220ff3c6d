// `npm run screenshots`: runs one real race on the built page and saves what a person sees under docs/images/.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DIST, ROOT, ensureBrowser, ensureBuild, ensureDependencies, ensureNode, runCommand } from './ensure.mjs'

const IMAGES = join(ROOT, 'docs', 'images')
const DESKTOP = { width: 1440, height: 900 }
const PHONE = { width: 390, height: 844 }
const STEPS = 60
const RACE_TIMEOUT = 20 * 60_000

/** Taken after the race, in this order; `path` is a page of the app, `show` a text that is scrolled to the top. */
const FINISHED = [
  { name: 'results-light', viewport: DESKTOP, scheme: 'light', path: 'playground' },
  { name: 'results-dark', viewport: DESKTOP, scheme: 'dark', path: 'playground' },
  { name: 'phone-light', viewport: PHONE, scheme: 'light', path: 'playground', show: 'Gain' },
  { name: 'phone-dark', viewport: PHONE, scheme: 'dark', path: 'playground', show: 'Finished' },
  { name: 'library', viewport: DESKTOP, scheme: 'light', path: 'library' }
]

/** @param {import('playwright').Page} page @param {string} name */
async function save(page, name) {
  await page.screenshot({ path: join(IMAGES, `${name}.png`), animations: 'disabled', caret: 'hide' })
  console.log(`docs/images/${name}.png`)
}

/** @param {import('playwright').Page} page @param {string} url */
async function photograph(page, url) {
  await page.goto(`${url}#/playground?steps=${STEPS}&evaluateEvery=5`)
  const start = page.getByRole('button', { name: 'Start the race' })
  await start.waitFor()
  await page.waitForFunction(() => document.querySelector('button.primary')?.matches(':enabled'), undefined, { timeout: 60_000 })
  await save(page, 'start')
  await start.click()
  await page
    .getByText(new RegExp(`step [4-5]\\d of ${STEPS}`))
    .first()
    .waitFor({ timeout: RACE_TIMEOUT })
  await save(page, 'race')
  await page.getByText('Finished', { exact: true }).first().waitFor({ timeout: RACE_TIMEOUT })
  for (const { name, viewport, scheme, path, show } of FINISHED) {
    await page.setViewportSize(viewport)
    await page.emulateMedia({ colorScheme: /** @type {'light' | 'dark'} */ (scheme) })
    const link = page.getByRole('navigation', { name: 'Pages' }).locator(`a[href="#/${path}"]`)
    await link.click()
    await page.mouse.move(0, 0)
    await page.evaluate(() => window.scrollTo(0, 0))
    if (show)
      await page
        .getByText(show, { exact: true })
        .first()
        .evaluate((element) => element.scrollIntoView({ block: 'start' }))
    await page.waitForLoadState('networkidle')
    await save(page, name)
  }
}

await runCommand(async () => {
  ensureNode()
  await ensureDependencies()
  const executablePath = await ensureBrowser()
  await ensureBuild()
  const { chromium } = await import('playwright')
  const { chromiumFlags } = await import('./chromium.mjs')
  const { serve } = await import('./serve.mjs')
  mkdirSync(IMAGES, { recursive: true })
  const site = await serve({ mounts: { '/': DIST } })
  const browser = await chromium.launch({ executablePath, args: chromiumFlags() })
  try {
    const page = await browser.newPage({ viewport: DESKTOP, colorScheme: 'light', reducedMotion: 'reduce' })
    await photograph(page, site.url)
  } finally {
    await browser.close()
    await site.close()
  }
})
