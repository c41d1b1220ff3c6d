// The prompt lab: a prompt is tried as it is written, ranked and kept, and goes into a race as its baseline or as the start of a soft prompt.
import { expect, test, type Page } from '@playwright/test'
import { expectAccessibleInBothThemes } from './accessible'
import { routeTinyModel } from './tinyModel'
import { finished, watch } from './watch'

test.use({ serviceWorkers: 'block' })

test.beforeEach(async ({ context }) => routeTinyModel(context))

const edits = (page: Page) => page.getByRole('button', { name: /^Edit try/ })

async function openLab(page: Page): Promise<void> {
  await page.goto('./#/lab')
  await expect(edits(page)).toHaveCount(1, { timeout: 60_000 })
}

test('a prompt is tried, ranked, kept over a reload, and starts a soft prompt', async ({ context, page }) => {
  const watched = await watch(context, page)
  await openLab(page)
  await expect(page.getByText(/90 validation examples in/)).toBeVisible()

  await page.getByLabel('Template', { exact: true }).fill('{text}\nIn short,')
  await expect(edits(page)).toHaveCount(2)
  await page.getByLabel('negative', { exact: true }).fill('bad')
  await page.keyboard.press('Control+Enter')
  await expect(edits(page)).toHaveCount(3)
  await expect(page.getByRole('group', { name: 'A rendered prompt' })).toContainText(/In short, (positive|bad)$/)

  await page.getByRole('spinbutton', { name: 'Examples in context' }).fill('3')
  await expect(edits(page)).toHaveCount(4)
  await expect(page.getByRole('group', { name: 'A rendered prompt' }).getByText(/In short, (positive|bad)/)).toHaveCount(4)
  const ranks = (
    await page
      .getByRole('row')
      .filter({ has: edits(page) })
      .allInnerTexts()
  ).map((row) => Number(row.split(/\s+/).find((text) => /^[01]\.\d{3}$/.test(text))))
  expect(ranks).toEqual([...ranks].sort((a, b) => b - a))

  await expectAccessibleInBothThemes(page, 'prompt lab')

  await page.reload()
  await expect(edits(page)).toHaveCount(4, { timeout: 60_000 })
  await expect(page.getByLabel('Template', { exact: true })).toHaveValue('{text}\nIn short,')
  await expect(page.getByRole('spinbutton', { name: 'Examples in context' })).toHaveValue('3')
  await page.getByRole('button', { name: /^Delete try 3/ }).click()
  await expect(edits(page)).toHaveCount(3)
  await page.getByRole('button', { name: 'Bring it back' }).click()
  await expect(edits(page)).toHaveCount(4)

  await page.getByRole('button', { name: 'Start a soft prompt from this' }).click()
  await expect(page.getByRole('button', { name: 'Start the race' })).toBeEnabled({ timeout: 60_000 })
  await expect(page.getByText('Every run is asked with your template')).toBeVisible()
  await expect(page.locator('.sample')).toContainText('In short,')
  await page.getByRole('button', { name: 'Options of Soft prompt' }).click()
  await expect(page.getByRole('textbox', { name: 'Text', exact: true })).toHaveValue('In short,')
  watched.expectQuiet()
})

test('a prompt that cannot be used says why, and one of the lab races as the baseline', async ({ page }) => {
  await openLab(page)
  const template = page.getByLabel('Template', { exact: true })
  await template.fill('No place for it')
  await expect(page.getByRole('alert')).toContainText('no place for the text')
  await expect(page.getByRole('button', { name: 'Race this prompt' })).toBeDisabled()
  await template.fill('{text}\nIn short,')
  await page.keyboard.press('Control+Enter')
  await expect(edits(page)).toHaveCount(2)
  const score = await page.getByRole('definition').first().innerText()

  await page.getByRole('button', { name: 'Race this prompt' }).click()
  await expect(page.getByText('The hand-written baseline asks with your prompt of the lab')).toBeVisible()
  await page.goto(page.url().replace(/#.*/, '#/playground?methods=softPrompt&steps=2&evaluateEvery=2'))
  await page.getByRole('button', { name: 'Start the race' }).click()
  await finished(page)
  const row = page.getByRole('row').filter({ has: page.getByRole('rowheader', { name: 'Hand-written prompt' }) })
  await expect(row.getByRole('cell').nth(3)).toHaveText(score)
})
