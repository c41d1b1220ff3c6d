// Models of one's own: downloaded from a hub, cut and continued, used offline, brought from this computer, and deleted.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AxeBuilder } from '@axe-core/playwright'
import { expect, test, type Page } from '@playwright/test'
import { zipSync } from 'fflate'
import { COMMIT, startHub, type Hub } from './hubServer'
import { routeTinyModel, tinyModelFiles, writeTinyModel } from './tinyModel'
import { openPlayground, watch } from './watch'

test.use({ serviceWorkers: 'block' })

let hub: Hub
const files = tinyModelFiles()

test.beforeEach(async ({ context }) => {
  hub = await startHub({ 'org/tiny': files, 'org/pickled': { 'config.json': '{}', 'pytorch_model.bin': 'x' } })
  await routeTinyModel(context)
})
test.afterEach(() => hub.close())

const ready = (page: Page) => expect(page.getByRole('button', { name: 'Start the race' })).toBeEnabled({ timeout: 60_000 })
/** The model is the chosen one, and loaded. */
const using = async (page: Page, name: string) => {
  await expect(page.getByRole('button', { name, exact: true })).toBeVisible({ timeout: 60_000 })
  await ready(page)
}
const dialog = (page: Page) => page.getByRole('dialog', { name: 'Another model' })
const press = (page: Page, name: string | RegExp) => dialog(page).getByRole('button', { name }).click()
const problem = (page: Page) => dialog(page).getByRole('alert')

async function lookUp(page: Page, name: string): Promise<void> {
  await dialog(page).getByLabel('Public model').fill(name)
  await press(page, 'Look it up')
}

/** Waits for the offer, so that what goes wrong next is the download. */
async function find(page: Page, name: string): Promise<void> {
  await lookUp(page, name)
  await expect(dialog(page).getByRole('button', { name: /^Download/ })).toBeVisible()
}

/** Opens the playground with its own model and the dialog for others, which asks the hub of these tests. */
async function openDialog(page: Page): Promise<void> {
  await openPlayground(page, `hub=${hub.address}`)
  await page.getByRole('button', { name: 'Other…' }).click()
}

test('a link to a hub’s model asks before it downloads; then it is raced, kept without the hub, and deleted', async ({ context, page }) => {
  const watched = await watch(context, page)
  await page.goto(`./#/playground?model=hub:org/tiny&hub=${hub.address}&methods=softPrompt&steps=2&evaluateEvery=2`)
  await expect(page.getByText('org/tiny is not in this browser.')).toBeVisible()
  await expect(page.getByRole('button', { name: 'Start the race' })).toBeDisabled()
  expect(hub.requests).toEqual([])

  await page.getByRole('button', { name: 'Download it…' }).click()
  await press(page, 'Look it up')
  await expect(dialog(page).getByText('134 k numbers')).toBeVisible()
  expect(hub.requests.some((line) => line.includes('blob') && !/bytes=\d+-\d{1,5}$/.test(line))).toBe(false)
  await press(page, /^Download/)
  await ready(page)
  await expect(page).toHaveURL(new RegExp(`model=hub:org/tiny@${COMMIT}`))

  await hub.close()
  await page.reload()
  await ready(page)
  await page.getByRole('button', { name: 'Start the race' }).click()
  await expect(page.getByText('Finished', { exact: true }).first()).toBeVisible({ timeout: 60_000 })

  await page.getByRole('link', { name: 'Library', exact: true }).click()
  await page.getByRole('button', { name: 'Delete org/tiny' }).click()
  await page.getByRole('alertdialog').getByRole('button', { name: 'Delete' }).click()
  await expect(page.getByText('Models in this browser')).toBeHidden()
  await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Playground' }).click()
  await expect(page.getByText('org/tiny is not in this browser.')).toBeVisible()
  watched.expectQuiet()
})

test.describe('with its service worker', () => {
  test.use({ serviceWorkers: 'allow' })

  test('the page opens a downloaded model without any network', async ({ context, page }) => {
    await page.goto(`./#/playground?model=hub:org/tiny&hub=${hub.address}`)
    await page.getByRole('button', { name: 'Download it…' }).click()
    await press(page, 'Look it up')
    await press(page, /^Download/)
    await ready(page)
    await expect(page.getByText('works offline')).toBeVisible()
    await context.setOffline(true)
    await page.reload()
    await ready(page)
  })
})

test('a download that was cut goes on after a reload, from where it stopped', async ({ page }) => {
  await openDialog(page)
  await find(page, 'org/tiny')
  hub.fail('blob/model.safetensors', { kind: 'short', after: 100_000 })
  hub.fail('blob/model.safetensors', { kind: 'status', status: 429, headers: { 'Retry-After': '9' } })
  await press(page, /^Download/)
  await expect(problem(page)).toContainText('Wait 9 seconds')
  await page.reload()
  await page.getByRole('button', { name: 'Other…' }).click()
  await expect(dialog(page).getByText(/stopped at \d+ kB of/)).toBeVisible()
  await press(page, 'Go on with org/tiny')
  await using(page, 'org/tiny')
  const weights = (files['model.safetensors'] as Uint8Array).length
  expect(hub.requests.at(-1)).toContain(`bytes=100000-${weights - 1}`)
})

test('a download can be cancelled, and what arrives changed is not kept', async ({ page }) => {
  await openDialog(page)
  await find(page, 'org/tiny')
  hub.fail('blob/model.safetensors', { kind: 'stall' })
  await press(page, /^Download/)
  await expect(dialog(page).getByRole('progressbar')).toBeVisible()
  await page.keyboard.press('Escape')
  await expect(page.getByText(/^Downloading org\/tiny: \d+ %$/)).toBeVisible()
  await page.getByRole('button', { name: 'Show', exact: true }).click()
  await press(page, 'Cancel')
  await expect(dialog(page).getByRole('progressbar')).toBeHidden()
  hub.fail('blob/model.safetensors', { kind: 'flip' })
  await press(page, 'Go on with org/tiny')
  await expect(problem(page)).toContainText('checksum is another')
  await press(page, 'Go on with org/tiny')
  await using(page, 'org/tiny')
})

test('what cannot be opened is refused before its weights are fetched', async ({ page }) => {
  await openDialog(page)
  for (const [name, message] of [
    ['org/pickled', 'Python pickles'],
    ['org/none', 'open to everyone'],
    ['no name', 'looks like “organisation/model”']
  ] as const) {
    await lookUp(page, name)
    await expect(dialog(page)).toContainText(message)
  }
  expect(hub.requests.some((line) => line.includes('pytorch_model.bin'))).toBe(false)
})

test('a folder and a zip of this computer are copied and used', async ({ page }) => {
  const parent = await mkdtemp(join(tmpdir(), 'tuneground-model-'))
  await writeTinyModel(join(parent, 'Mine'))
  await openPlayground(page)
  const open = async () => {
    await page.getByRole('button', { name: /^(Other…|Mine|archive)$/ }).click()
    await dialog(page).getByRole('radio', { name: 'This computer' }).check()
  }
  await open()
  await dialog(page).getByLabel('The folder of a model').setInputFiles(join(parent, 'Mine'))
  await using(page, 'Mine')

  await open()
  const entries = Object.entries(files).map(([name, content]) => [name, new Uint8Array(Buffer.from(content as Uint8Array))] as const)
  const take = (name: string, zip: Uint8Array) =>
    dialog(page)
      .getByLabel('A zip or the files of a model')
      .setInputFiles({ name, mimeType: 'application/zip', buffer: Buffer.from(zip) })
  await take('broken.zip', zipSync(Object.fromEntries(entries)).subarray(0, 5000))
  await expect(problem(page)).toContainText('archive cannot be read')
  await take('archive.zip', zipSync(Object.fromEntries(entries)))
  await using(page, 'archive')
  await page.reload()
  await using(page, 'archive')
  await expect(page).toHaveURL(/:archive/)
  await rm(parent, { recursive: true })
})

test('the dialog has no accessibility violations and is worked by keyboard', async ({ page }) => {
  await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' })
  await openDialog(page)
  await page.keyboard.type('org/tiny')
  await page.keyboard.press('Enter')
  await expect(dialog(page).getByRole('button', { name: /^Download/ })).toBeVisible()
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    for (const place of ['Hugging Face Hub', 'This computer']) {
      await dialog(page).getByRole('radio', { name: place }).check()
      expect((await new AxeBuilder({ page }).include('[role=dialog]').analyze()).violations).toEqual([])
    }
  }
  await page.keyboard.press('Escape')
  await expect(dialog(page)).toBeHidden()
  await expect(page.getByRole('button', { name: 'Other…' })).toBeFocused()
})
