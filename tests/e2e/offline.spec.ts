// After one load, everything works without a network.
import { expect, test } from '@playwright/test'
import { finished, openPlayground, watch } from './watch'

test('after one load the pages, every task and a race work offline', async ({ context, page }) => {
  const watched = await watch(context, page)
  await openPlayground(page, 'methods=softPrompt&steps=2&evaluateEvery=2')
  await expect(page.getByText('works offline')).toBeVisible()
  await context.setOffline(true)
  await page.reload()
  await expect(page.getByRole('button', { name: 'Start the race' })).toBeEnabled({ timeout: 60_000 })
  for (const task of ['Headlines', 'Symptoms', 'Subjects', 'Support', 'Reviews']) {
    await page.getByRole('radio', { name: task }).check()
    await expect(page.getByRole('button', { name: 'Start the race' })).toBeEnabled()
  }
  for (const name of ['Prompt lab', 'Library', 'Learn']) {
    await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name }).click()
    await expect(page).toHaveTitle(`${name} · Tuneground`)
    await expect(page.getByRole('main')).not.toBeEmpty()
  }
  await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Playground' }).click()
  await page.getByRole('button', { name: 'Start the race' }).click()
  await finished(page)
  watched.expectQuiet()
})

test('the larger model is fetched only when it is chosen, and then kept', async ({ context, page }) => {
  const watched = await watch(context, page)
  const weights = () => watched.requests.filter((address) => address.endsWith('tuneground-7m/model.safetensors'))
  await openPlayground(page)
  await expect(page.getByText('works offline')).toBeVisible()
  expect(weights()).toEqual([])
  await page.getByRole('radio', { name: /7M/ }).check()
  await expect.poll(weights).not.toEqual([])
  await expect(page.getByRole('button', { name: 'Start the race' })).toBeEnabled({ timeout: 60_000 })
  await context.setOffline(true)
  await page.reload()
  await expect(page.getByRole('button', { name: 'Start the race' })).toBeEnabled({ timeout: 60_000 })
  watched.expectQuiet()
})
