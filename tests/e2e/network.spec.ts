// Nothing leaves the computer: loading talks to localhost alone, and a race talks to nobody.
import { expect, test } from '@playwright/test'
import { routeTinyModel } from './tinyModel'
import { finished, openPlayground, watch } from './watch'

test.use({ serviceWorkers: 'block' })

test('a whole race makes no request', async ({ context, page }) => {
  const watched = await watch(context, page)
  await routeTinyModel(context)
  await openPlayground(page, 'steps=4&evaluateEvery=2')
  expect(watched.requests.length).toBeGreaterThan(5)
  const before = watched.requests.length
  await page.getByRole('button', { name: 'Start the race' }).click()
  await finished(page)
  expect(watched.requests.slice(before)).toEqual([])
  watched.expectQuiet()
})
