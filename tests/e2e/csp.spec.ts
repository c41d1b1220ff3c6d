// The Content-Security-Policy: in force on the page and in its worker, and nothing of ours breaks it.
import { expect, test } from '@playwright/test'
import { HEADER_POLICY, META_POLICY } from '../../scripts/csp.mjs'
import { openPlayground, watch } from './watch'

test('the policy is in the headers of pages and scripts, and in the page itself', async ({ page, request }) => {
  const response = await page.goto('./')
  expect(response?.headers()['content-security-policy']).toBe(HEADER_POLICY)
  expect(await page.locator('meta[http-equiv="Content-Security-Policy"]').getAttribute('content')).toBe(META_POLICY)
  expect(META_POLICY).not.toContain('unsafe-inline')
  expect(META_POLICY).not.toContain("'unsafe-eval'")
  const script = await page.locator('script[type=module]').getAttribute('src')
  expect((await request.get(script ?? '')).headers()['content-security-policy']).toBe(HEADER_POLICY)
})

test('the policy stops inline scripts, eval and hosts without encryption', async ({ page }) => {
  await page.goto('./')
  const outcome = await page.evaluate(async () => {
    const script = document.createElement('script')
    script.textContent = 'document.title = "ran"'
    document.head.append(script)
    // In a timer, since code that the test itself evaluates is let through.
    const attempt = (act: () => unknown) =>
      new Promise<string>((done) => {
        setTimeout(() => {
          Promise.resolve()
            .then(act)
            .then(
              () => done('allowed'),
              () => done('stopped')
            )
        })
      })
    return {
      inline: document.title === 'ran' ? 'allowed' : 'stopped',
      eval: await attempt(() => eval('1') as unknown),
      plainHost: await attempt(() => fetch('http://tuneground.test/'))
    }
  })
  expect(outcome).toEqual({ inline: 'stopped', eval: 'stopped', plainHost: 'stopped' })
})

for (const scheme of ['light', 'dark'] as const) {
  test(`no page breaks the policy or prints a warning (${scheme})`, async ({ browser, baseURL }) => {
    const context = await browser.newContext({ baseURL, colorScheme: scheme })
    const page = await context.newPage()
    const watched = await watch(context, page)
    await openPlayground(page)
    for (const name of ['Prompt lab', 'Library', 'Learn', 'Playground']) {
      await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name }).click()
      await expect(page).toHaveTitle(`${name} · Tuneground`)
    }
    await expect(page.getByRole('button', { name: 'Start the race' })).toBeEnabled()
    watched.expectQuiet()
    await context.close()
  })
}
