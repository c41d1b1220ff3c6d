// Runs beyond one method each: ticked together or in stages, under several seeds, and from a prompt that was learnt from other tasks.
import AxeBuilder from '@axe-core/playwright'
import { expect, test } from '@playwright/test'
import { routeTinyModel } from './tinyModel'
import { finished, openPlayground, watch } from './watch'

test.use({ serviceWorkers: 'block' })

test.beforeEach(async ({ context }) => routeTinyModel(context))

test('methods are combined by ticking them, with the keyboard alone, and race as one run', async ({ context, page }) => {
  const watched = await watch(context, page)
  await openPlayground(page, 'methods=softPrompt&steps=4&evaluateEvery=2&batchSize=4&trainingExamples=16')
  const opener = page.getByRole('button', { name: 'Combine methods into one run' })
  await opener.focus()
  await page.keyboard.press('Enter')
  const form = page.getByRole('form', { name: 'Combine methods into one run' })
  await form.getByRole('radio', { name: 'Together' }).focus()
  await page.keyboard.press('ArrowRight')
  await expect(form.getByRole('button', { name: 'Add to the race' })).toBeDisabled()
  for (const name of ['Soft prompt', 'All weights']) {
    await form.getByRole('checkbox', { name }).focus()
    await page.keyboard.press('Space')
  }
  expect((await new AxeBuilder({ page }).include('form').analyze()).violations).toEqual([])
  await form.getByRole('button', { name: 'Add to the race' }).focus()
  await page.keyboard.press('Enter')
  await expect(opener).toBeFocused()
  await expect(page.getByText('3 runs, 4 steps each.')).toBeVisible()
  await expect(page).toHaveURL(/hybrids=softPrompt-allWeights/)

  await page.getByRole('button', { name: 'Start the race' }).click()
  await finished(page)
  const column = page.getByRole('columnheader', { name: 'Soft prompt, then all weights' })
  await expect(column).toBeVisible()
  const numbers = page.getByRole('row').filter({ has: page.getByRole('rowheader', { name: 'Numbers trained' }) })
  const [prompt, both] = (await numbers.getByRole('cell').allInnerTexts()).slice(1).map((text) => Number(text.replace(/\D/g, '')))
  expect(both).toBeGreaterThan(prompt!)
  watched.expectQuiet()
})

test('several seeds are told with mean and spread', async ({ page }) => {
  await openPlayground(page, 'methods=softPrompt&steps=2&evaluateEvery=2&batchSize=4&trainingExamples=8&seeds=2')
  await expect(page.getByText('3 runs, 2 steps each.')).toBeVisible()
  await page.getByRole('button', { name: 'Start the race' }).click()
  await finished(page)
  await expect(page.getByText(/Soft prompt over 2 seeds: \d\.\d\d ± \d\.\d\d accuracy/)).toBeVisible()
})

test('a prompt learnt from other tasks is a start, and the page says what it gains', async ({ context, page }) => {
  const watched = await watch(context, page)
  await openPlayground(page, 'methods=softPrompt&steps=4&evaluateEvery=2&batchSize=4&trainingExamples=16&againstRandom=yes')
  await page.getByRole('button', { name: 'Options of Soft prompt' }).click()
  await page.getByLabel('Start from', { exact: true }).selectOption('saved')
  await expect(page.getByText('Soft prompt is to start from a saved prompt: choose one in its options.')).toBeVisible()
  await page.getByRole('button', { name: 'Learn one from several tasks…' }).click()
  const dialog = page.getByRole('dialog', { name: 'Learn a prompt from several tasks' })
  await expect(dialog.getByRole('checkbox', { name: 'Reviews' })).not.toBeChecked()
  await dialog.getByLabel('Iterations', { exact: true }).fill('4')
  await dialog.getByLabel('Steps each', { exact: true }).fill('1')
  expect((await new AxeBuilder({ page }).include('[role=dialog]').analyze()).violations).toEqual([])
  await dialog.getByRole('button', { name: 'Learn', exact: true }).click()
  await dialog.getByRole('button', { name: 'Start from this prompt' }).click({ timeout: 120_000 })
  await expect(page.getByLabel('Saved prompt', { exact: true })).toHaveValue(/.+/)

  await page.getByRole('button', { name: 'Start the race' }).click()
  await finished(page)
  await expect(
    page.getByText(/^Soft prompt (reached|did not reach) a validation loss of .* from random numbers, after \d+ steps\.$/)
  ).toBeVisible()
  watched.expectQuiet()
})
