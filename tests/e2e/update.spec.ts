// A new version of the page waits: it interrupts nothing, and starts when it is asked to.
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from '@playwright/test'
import { serve } from '../../scripts/serve.mjs'

let folder: string
let served: Awaited<ReturnType<typeof serve>>

test.beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tuneground-update-'))
  await cp('dist', folder, { recursive: true })
  served = await serve({ mounts: { '/': folder } })
})

test.afterAll(async () => {
  await served.close()
  await rm(folder, { recursive: true })
})

/** What a new build changes: the page, and its revision in the service worker. */
async function publishNewVersion(): Promise<void> {
  const page = join(folder, 'index.html')
  const worker = join(folder, 'sw.js')
  await writeFile(page, (await readFile(page, 'utf8')).replace('<div id="app">', '<div id="app" data-version="new">'))
  const script = await readFile(worker, 'utf8')
  const changed = script.replace(/url:"index\.html",revision:"[^"]*"/, 'url:"index.html",revision:"new"')
  expect(changed).not.toBe(script)
  await writeFile(worker, changed)
}

test('a new version waits until it is asked for, and leaves other open pages alone', async ({ context }) => {
  const [page, other] = [await context.newPage(), await context.newPage()]
  for (const each of [page, other]) {
    await each.goto(served.url)
    await expect(each.getByText('works offline')).toBeVisible()
    await each.evaluate(() => document.body.setAttribute('data-untouched', ''))
  }
  await publishNewVersion()
  await page.evaluate(async () => (await navigator.serviceWorker.ready).update())

  const use = page.getByRole('button', { name: /new version/i })
  await expect(use).toBeVisible()
  await expect(page.locator('body[data-untouched]')).toBeVisible()
  await page.goto(served.url)
  await expect(page.locator('#app:not([data-version])')).toBeVisible()

  await use.click()
  await expect(page.locator('#app[data-version=new]')).toBeVisible()
  await expect(other.locator('body[data-untouched]')).toBeVisible()
})
