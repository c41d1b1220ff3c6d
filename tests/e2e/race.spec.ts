// The main job through the page: race, read, ask; be killed and go on as if nothing had happened; carry a run away and back.
import { readFile } from 'node:fs/promises'
import { expect, test, type Page } from '@playwright/test'
import { strFromU8, unzipSync } from 'fflate'
import { routeTinyModel } from './tinyModel'
import { finished, openPlayground, reached, watch } from './watch'

test.use({ serviceWorkers: 'block' })

test.beforeEach(async ({ context }) => routeTinyModel(context))

async function startRace(page: Page, query: string): Promise<void> {
  await openPlayground(page, query)
  await page.getByRole('button', { name: 'Start the race' }).click()
}

/** Exports a run through the library and returns what the archive says and its bytes. */
async function exportRun(page: Page, name: string): Promise<{ path: string; losses: number[]; validation: number[]; tensors: string }> {
  await page.goto('./#/library')
  const download = page.waitForEvent('download')
  await page
    .getByRole('button', { name: `Export ${name}`, exact: true })
    .first()
    .click()
  await page.getByRole('button', { name: 'Save Tuneground archive (.zip)' }).click()
  const path = await (await download).path()
  const files = unzipSync(new Uint8Array(await readFile(path)))
  const best = Object.keys(files).find((file) => file.endsWith('best.safetensors'))
  const run = JSON.parse(strFromU8(files['run.json']!)) as {
    run: { curve: { steps: { loss: number }[]; validation: { loss: number }[] } }
  }
  return {
    path,
    losses: run.run.curve.steps.map(({ loss }) => loss),
    validation: run.run.curve.validation.map(({ loss }) => loss),
    tensors: Buffer.from(files[best!]!).toString('base64')
  }
}

async function deleteAllRuns(page: Page): Promise<void> {
  await page.goto('./#/library')
  const buttons = page.getByRole('button', { name: /^Delete / })
  await expect(buttons.first()).toBeVisible()
  for (let left = await buttons.count(); left > 0; left--) {
    await buttons.first().click()
    await page.getByRole('alertdialog').getByRole('button', { name: 'Delete', exact: true }).click()
    await expect(buttons).toHaveCount(left - 1)
  }
}

test('a race ends in a table, matrices with examples and answers to a typed text', async ({ context, page }) => {
  const watched = await watch(context, page)
  await startRace(page, 'steps=6&evaluateEvery=3')
  await finished(page)

  const table = page.getByRole('table').filter({ has: page.getByRole('rowheader', { name: 'Accuracy' }) })
  const accuracy = table.getByRole('row').filter({ has: page.getByRole('rowheader', { name: 'Accuracy' }) })
  const cells = await accuracy.getByRole('cell').allInnerTexts()
  expect(cells).toHaveLength(3)
  for (const cell of cells) expect(Number(cell.match(/0?\.\d+|1\.0+/)?.[0])).toBeGreaterThan(0.2)

  await page.getByRole('tab', { name: 'Confusion' }).click()
  const cell = page.getByRole('button', { name: /^[1-9]\d* examples of \w+ answered as \w+ by All weights/ }).first()
  const count = Number((await cell.innerText()).trim())
  await cell.click()
  const dialog = page.getByRole('dialog')
  await expect(dialog.getByRole('listitem')).toHaveCount(count)
  await page.keyboard.press('Escape')
  await expect(dialog).toBeHidden()

  await page.getByRole('tab', { name: 'Try it' }).click()
  await page.getByLabel('A text of yours').fill('The soup was cold and the waiter rude.')
  await page.getByRole('button', { name: 'Ask' }).click()
  for (const name of ['Hand-written prompt', 'Soft prompt', 'All weights']) {
    const answer = page.getByRole('article').filter({ has: page.getByRole('heading', { name }) })
    await expect(answer.getByRole('listitem')).toHaveCount(2)
    const probabilities = (await answer.locator('.value').allInnerTexts()).map(Number)
    expect(probabilities[0]! + probabilities[1]!).toBeCloseTo(1, 2)
  }
  watched.expectQuiet()
})

test('a race that is killed goes on after a reload with the same losses', async ({ page }) => {
  const query = 'steps=80&evaluateEvery=20&seed=5'
  await startRace(page, query)
  await finished(page)
  const whole = { soft: await exportRun(page, 'Soft prompt'), all: await exportRun(page, 'All weights') }
  expect(whole.all.losses).toHaveLength(80)
  await deleteAllRuns(page)
  await page.reload()

  await startRace(page, query)
  await reached(page, 21)
  // The tab's process is gone at once: nothing is said goodbye to.
  const devTools = await page.context().newCDPSession(page)
  const crashed = page.waitForEvent('crash')
  void devTools.send('Page.crash').catch(() => undefined)
  await crashed
  const reopened = await page.context().newPage()
  await reopened.goto(page.url())
  await expect(reopened.getByText(/Your race stopped at step \d+ of 80/)).toBeVisible({ timeout: 60_000 })
  await reopened.getByRole('button', { name: 'Continue' }).click()
  await finished(reopened)
  const resumed = { soft: await exportRun(reopened, 'Soft prompt'), all: await exportRun(reopened, 'All weights') }
  for (const run of ['soft', 'all'] as const) {
    expect(resumed[run].losses).toEqual(whole[run].losses)
    expect(resumed[run].validation).toEqual(whole[run].validation)
    expect(resumed[run].tensors === whole[run].tensors).toBe(true)
  }
})

test('a paused race makes single steps, goes on, and stops with its best step', async ({ page }) => {
  await startRace(page, 'steps=2000&evaluateEvery=10')
  await reached(page, 5)
  await page.getByRole('button', { name: /^Pause/ }).click()
  await expect(page.getByText('Paused', { exact: true }).first()).toBeVisible()
  const step = async () => Number((await page.getByText(/^step \d+ of 2000$/).innerText()).split(' ')[1])
  const before = await step()
  await page.keyboard.press('.')
  await expect.poll(step).toBe(before + 1)
  await page.getByRole('button', { name: /^Go on/ }).click()
  await expect.poll(step).toBeGreaterThan(before + 3)
  await page.getByRole('button', { name: /^Stop, keep the best/ }).click()
  await finished(page)
})

test('a run is exported, deleted, imported again and still answers the same', async ({ page }) => {
  await startRace(page, 'steps=4&evaluateEvery=2')
  await finished(page)
  const ask = async (): Promise<string[]> => {
    await page.getByRole('tab', { name: 'Try it' }).click()
    await page.getByLabel('A text of yours').fill('What a lovely hotel.')
    await page.getByRole('button', { name: 'Ask' }).click()
    const answer = page.getByRole('article').filter({ has: page.getByRole('heading', { name: 'All weights' }) })
    await expect(answer.getByRole('listitem')).toHaveCount(2)
    return answer.locator('.value').allInnerTexts()
  }
  const before = await ask()
  const { path } = await exportRun(page, 'All weights')
  await deleteAllRuns(page)
  await expect(page.getByText('No runs yet.')).toBeVisible()

  await page
    .getByLabel('Exported runs, or the files of an adapter')
    .setInputFiles({ name: 'run.zip', mimeType: 'application/zip', buffer: await readFile(path) })
  await expect(page.getByRole('button', { name: /^Rename All weights/ })).toBeVisible()
  await page.reload()
  await page.getByRole('button', { name: /^Open .* in the playground/ }).click()
  expect(await ask()).toEqual(before)
})
