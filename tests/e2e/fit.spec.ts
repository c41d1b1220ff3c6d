// What fits on this device: the table by keyboard, a refusal before Start that says what would fit, and the memory in use during a race.
import { expect, test } from '@playwright/test'
import { expectAccessible } from './accessible'
import { routeTinyModel } from './tinyModel'
import { finished, openPlayground } from './watch'

test.use({ serviceWorkers: 'block' })

test('what does not fit is seen before Start, and a race tells its memory beside what was foretold', async ({ context, page }) => {
  await routeTinyModel(context)
  await openPlayground(page, 'steps=6&evaluateEvery=3')
  const start = page.getByRole('button', { name: 'Start the race' })
  await expect(start).toBeEnabled()

  await page.getByRole('button', { name: 'What fits' }).press('Enter')
  const dialog = page.getByRole('dialog', { name: 'What fits on this device' })
  const row = (name: RegExp) => dialog.getByRole('row', { name }).first()
  await expect(row(/Soft prompt/)).toContainText('≈')
  await expect(row(/All weights/)).toContainText('yes')
  await expectAccessible(page, 'what fits')

  // The tiny model's soft prompt takes a few megabytes.
  await dialog.getByLabel('Allow').fill('0.004')
  await dialog.getByLabel('Allow').press('Enter')
  await expect(row(/Soft prompt/)).toContainText('no')
  await expect(dialog.getByText(/Soft prompt does not fit: .* It would with a batch of \d+/).first()).toBeVisible()
  await expectAccessible(page, 'what does not fit')
  await page.keyboard.press('Escape')
  await expect(start).toBeDisabled()
  await expect(page.getByText(/Soft prompt does not fit/)).toBeVisible()

  await page.reload()
  await expect(start).toBeDisabled()
  await expect(page.getByText(/Soft prompt does not fit/)).toBeVisible()
  await page.getByRole('button', { name: 'What fits' }).click()
  await dialog.getByLabel('Allow').fill('')
  await dialog.getByLabel('Allow').press('Enter')
  await expect(row(/Soft prompt/)).toContainText('yes')
  await page.keyboard.press('Escape')

  await start.click()
  const memory = /^Device memory: [\d.]+ MB now, [\d.]+ MB at most;\s+foretold\s+[\d.]+ MB\.$/
  await expect(page.getByText('Device memory')).toHaveText(memory, { timeout: 60_000 })
  await finished(page)
})
