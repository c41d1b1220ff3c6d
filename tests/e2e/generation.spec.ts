// A task whose answers are written, through the page: raced, read, asked with the text growing, stopped, and opened again from the library.
import { expect, test, type Page } from '@playwright/test'
import { expectAccessible } from './accessible'
import { routeTinyModel } from './tinyModel'
import { finished, openPlayground, watch } from './watch'

test.use({ serviceWorkers: 'block' })

test.beforeEach(async ({ context }) => routeTinyModel(context))

const written = (page: Page, run: string) =>
  page
    .getByRole('article')
    .filter({ has: page.getByRole('heading', { name: run }) })
    .locator('.written')

test('written answers are raced, shown, streamed, stopped and found again in the library', async ({ context, page }) => {
  const watched = await watch(context, page)
  await openPlayground(page, 'task=slogans&steps=4&evaluateEvery=2&batchSize=4')
  await page.getByRole('button', { name: 'Start the race' }).click()
  await finished(page)

  const numbers = async (): Promise<string[]> => {
    const row = page.getByRole('row').filter({ has: page.getByRole('rowheader', { name: 'Perplexity' }) })
    await expect(row.getByRole('cell').nth(2)).toHaveText(/\d/)
    return row.getByRole('cell').allInnerTexts()
  }
  const perplexities = await numbers()
  expect(perplexities).toHaveLength(3)
  for (const cell of perplexities) expect(Number(cell.match(/[\d.]+/)?.[0])).toBeGreaterThan(1)
  await expect(page.getByRole('radio', { name: 'Validation perplexity' })).toBeVisible()

  await expect(page.getByRole('tab', { name: 'Outputs' })).toHaveAttribute('aria-selected', 'true')
  await expect(page.getByText(/64 shown of the first 64 of 100 test examples/)).toBeVisible()
  const outputs = await page.getByRole('tabpanel', { name: 'Outputs' }).getByRole('definition').allInnerTexts()
  expect(outputs).toHaveLength(64 * 4)
  // By keyboard: from All over Right to Wrong. A model this small is right in nothing.
  await page.getByRole('radio', { name: 'All' }).focus()
  await page.keyboard.press('ArrowRight')
  await expect(page.getByText(/^0 shown of the first 64/)).toBeVisible()
  await page.keyboard.press('ArrowRight')
  await expect(page.getByText(/^64 shown of the first 64/)).toBeVisible()
  await expectAccessible(page, 'written answers')

  await page.getByRole('tab', { name: 'Try it' }).click()
  await page.getByRole('button', { name: 'An example that none has learnt' }).click()
  await expect(page.getByLabel('A text of yours')).toHaveValue(/\w/)
  await page.getByText(/^How they write/).click()
  await page.getByLabel('Tokens at most', { exact: true }).fill('512')
  await page.getByLabel('Temperature', { exact: true }).fill('2')
  await expectAccessible(page, 'how they write')
  await page.getByRole('button', { name: 'Ask' }).click()
  const length = async (): Promise<number> => (await written(page, 'All weights').textContent())?.length ?? 0
  // Often, so that a quick machine has not written all before Stop is pressed.
  const soon = { intervals: [20] }
  await expect.poll(length, soon).toBeGreaterThan(20)
  const early = await length()
  await expect.poll(length, soon).toBeGreaterThan(early)
  await page.getByRole('button', { name: 'Stop', exact: true }).click()
  await expect(page.getByRole('button', { name: 'Ask' })).toBeEnabled()
  await expect(page.getByText(/\d+\s+tokens, [\d.e+]+ tokens\/s/)).toHaveCount(3)
  const stopped = await length()
  for (const count of await page.getByText(/\d+\s+tokens, /).allInnerTexts()) expect(parseInt(count)).toBeLessThan(512)

  await page.goto('./#/library')
  await page.reload()
  await page.getByRole('button', { name: /^Open .* in the playground/ }).click()
  expect(await numbers()).toEqual(perplexities)
  await page.getByRole('tab', { name: 'Outputs' }).click()
  await expect(page.getByRole('tabpanel', { name: 'Outputs' }).getByRole('definition')).toHaveText(outputs, { useInnerText: true })
  expect(stopped).toBeGreaterThan(early)
  watched.expectQuiet()
})
