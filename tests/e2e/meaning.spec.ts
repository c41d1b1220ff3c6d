// What a prompt means: from a finished race to its virtual tokens as words, their way, the model's attention, other prompts and an ensemble.
import { expect, test, type Page } from '@playwright/test'
import { expectAccessibleInBothThemes } from './accessible'
import { routeTinyModel } from './tinyModel'
import { finished, openPlayground, watch } from './watch'

test.use({ serviceWorkers: 'block' })

test.beforeEach(async ({ context }) => routeTinyModel(context))

async function race(page: Page, query: string): Promise<void> {
  await openPlayground(page, query)
  await page.getByRole('button', { name: 'Start the race' }).click()
  await finished(page)
}

test('a finished soft prompt is read as words, on its way, in the eyes of the model, and beside and together with another', async ({
  context,
  page
}) => {
  const watched = await watch(context, page)
  await race(page, 'methods=softPrompt&steps=6&evaluateEvery=2')
  await page.getByRole('link', { name: 'What the virtual tokens of Soft prompt mean' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'What a prompt means' })).toBeVisible()

  const words = page.getByRole('group', { name: 'Nearest words' })
  await expect(words.getByRole('row')).toHaveCount(21)
  const firstByCosine = await words.getByRole('row').nth(1).innerText()
  expect(Number(firstByCosine.match(/−?\d\.\d\d/)?.[0])).toBeGreaterThan(0.5)
  await page.getByRole('radio', { name: 'Dot product' }).check({ force: true })
  await expect(words.getByRole('row').nth(1)).not.toHaveText(firstByCosine)

  const slider = page.getByRole('slider')
  await expect(slider).toHaveAttribute('aria-valuetext', 'step 6 of 6')
  await slider.focus()
  await page.keyboard.press('Home')
  await expect(slider).toHaveAttribute('aria-valuetext', 'step 0 of 6')
  await page.keyboard.press('ArrowRight')
  await expect(slider).toHaveAttribute('aria-valuetext', 'step 2 of 6')

  const cells = page.getByRole('group', { name: 'Attention by layer' }).getByRole('row').nth(1).getByRole('cell')
  await expect(cells).toHaveCount(22)
  expect(Number(await cells.nth(20).innerText()) + Number(await cells.nth(21).innerText())).toBeCloseTo(100, -1)
  await expect(page.getByText('There is only one soft prompt for this model')).toBeVisible()

  // The same settings again, under another seed, on a fresh page.
  await page.goto('about:blank')
  await race(page, 'methods=softPrompt&steps=6&evaluateEvery=2&seed=2')
  await page.getByRole('link', { name: 'Library', exact: true }).click()
  await page
    .getByRole('link', { name: /^What the prompt of Soft prompt/ })
    .first()
    .click()
  const map = page.getByRole('group', { name: 'Similarity of prompts' })
  await expect(map.getByRole('row')).toHaveCount(3)
  const [, across] = await map.getByRole('row').nth(1).getByRole('cell').allInnerTexts()
  const [back] = await map.getByRole('row').nth(2).getByRole('cell').allInnerTexts()
  expect(across).toBe(back)

  await page.getByRole('button', { name: 'Ask them together' }).click()
  const together = page.getByRole('table').filter({ has: page.getByRole('rowheader', { name: 'Most votes' }) })
  await expect(together.getByRole('row')).toHaveCount(5)
  await expectAccessibleInBothThemes(page, 'what a prompt means')
  watched.expectQuiet()
})
