// What people see: no accessibility violations in any state, the keyboard all the way, and a layout that fits its screen.
import { expect, test, type Browser, type BrowserContextOptions, type Page } from '@playwright/test'
import { expectAccessible } from './accessible'
import { routeTinyModel } from './tinyModel'
import { finished, openPlayground } from './watch'

test.use({ serviceWorkers: 'block' })

const phone = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true }

async function open(browser: Browser, baseURL: string | undefined, options: BrowserContextOptions): Promise<Page> {
  const context = await browser.newContext({ baseURL, serviceWorkers: 'block', reducedMotion: 'reduce', ...options })
  await routeTinyModel(context)
  return context.newPage()
}

for (const colorScheme of ['light', 'dark'] as const) {
  test(`no state of any page has an accessibility violation (${colorScheme})`, async ({ browser, baseURL }) => {
    const page = await open(browser, baseURL, { colorScheme, viewport: { width: 1440, height: 900 } })
    await openPlayground(page, 'steps=2000&evaluateEvery=20&task=support')
    await expectAccessible(page, 'before the first race')

    for (const card of ['Model card', 'Data card']) {
      await page.getByRole('button', { name: card }).click()
      await expect(page.getByRole('dialog')).toBeVisible()
      await expectAccessible(page, card)
      await page.keyboard.press('Escape')
    }
    await page.getByRole('button', { name: 'Options of Soft prompt' }).click()
    await page.getByText('More', { exact: true }).click()
    await expectAccessible(page, 'all options open')

    await page.getByRole('button', { name: 'Start the race' }).click()
    await expect(page.getByText(/^step \d+ of 2000$/)).toBeVisible({ timeout: 60_000 })
    await page.getByRole('button', { name: /^Pause/ }).click()
    await expect(page.getByText('Paused', { exact: true }).first()).toBeVisible()
    await expectAccessible(page, 'paused')
    await page.getByRole('button', { name: /^Stop, keep/ }).click()
    await finished(page)
    await page.getByRole('button', { name: 'All numbers' }).click()
    for (const tab of ['Confusion', 'ROC and calibration', 'Classes', 'Try it']) {
      await page.getByRole('tab', { name: tab }).click()
      await expectAccessible(page, `finished, ${tab}`)
    }
    await page.getByRole('tab', { name: 'Confusion' }).click()
    await page
      .getByRole('button', { name: /^[1-9]\d* examples of/ })
      .first()
      .click()
    await expectAccessible(page, 'examples of a cell')
    await page.keyboard.press('Escape')

    await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Library' }).click()
    await expect(page.getByRole('button', { name: 'Delete Soft prompt' })).toBeVisible()
    await expectAccessible(page, 'library')
    await page.getByRole('button', { name: 'Delete Soft prompt' }).click()
    await expectAccessible(page, 'asking before a run is deleted')
    await page.keyboard.press('Escape')
    await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Learn' }).click()
    await expect(page.getByRole('heading', { level: 1, name: 'Learn' })).toBeVisible()
    await expectAccessible(page, 'learn')
    await page.context().close()
  })
}

test('a race is started, paused, stepped and stopped by keys alone', async ({ browser, baseURL }) => {
  const page = await open(browser, baseURL, {})
  await openPlayground(page, 'steps=2000&evaluateEvery=10')
  const focused = () => page.evaluate(() => document.activeElement?.textContent.trim() ?? '')
  await page.keyboard.press('Tab')
  expect(await focused()).toBe('Skip to the content')
  for (let presses = 0; presses < 60 && (await focused()) !== 'Start the race'; presses++) await page.keyboard.press('Tab')
  expect(await focused()).toBe('Start the race')
  await page.keyboard.press('Enter')

  const stepLine = page.getByText(/^step \d+ of 2000$/)
  await expect(stepLine).toBeVisible({ timeout: 60_000 })
  await page.keyboard.press('Space')
  await expect(page.getByText('Paused', { exact: true }).first()).toBeVisible()
  const step = async () => Number((await stepLine.innerText()).split(' ')[1])
  const before = await step()
  await page.keyboard.press('.')
  await expect.poll(step).toBe(before + 1)
  await page.keyboard.press('Space')
  await expect.poll(step).toBeGreaterThan(before + 2)

  await page.keyboard.press('Escape')
  await expect(page.getByRole('button', { name: /^Stop, keep the best/ })).toBeFocused()
  await expect(page.getByText('Tuning', { exact: true }).first()).toBeVisible()
  await page.keyboard.press('Escape')
  await finished(page)
  await page.context().close()
})

test('keys that mean something in a field are left to it', async ({ browser, baseURL }) => {
  const page = await open(browser, baseURL, {})
  await openPlayground(page, 'steps=2000&evaluateEvery=50')
  await page.getByRole('button', { name: 'Start the race' }).click()
  await expect(page.getByText(/^step \d+ of 2000$/)).toBeVisible({ timeout: 60_000 })
  const text = page.getByLabel('A text of yours')
  await text.pressSequentially('A b. c')
  await expect(text).toHaveValue('A b. c')
  await page.keyboard.press('Escape')
  await expect(page.getByText('Tuning', { exact: true }).first()).toBeVisible()
  await page.getByRole('button', { name: /^Stop, keep/ }).click()
  await finished(page)
  await page.context().close()
})

test('the main job needs no scrolling at 1440 x 900, before, during and after', async ({ browser, baseURL }) => {
  const page = await open(browser, baseURL, { viewport: { width: 1440, height: 900 } })
  const overflow = () =>
    page.evaluate(() => {
      const { scrollWidth, clientWidth, scrollHeight, clientHeight } = document.documentElement
      return { across: scrollWidth - clientWidth, down: scrollHeight - clientHeight }
    })
  const inside = async (name: string) => {
    const box = await page.getByRole('button', { name }).boundingBox()
    expect(box && box.y + box.height <= 900, `${name} is on the screen`).toBe(true)
  }
  await openPlayground(page, 'steps=6&evaluateEvery=3')
  expect(await overflow()).toEqual({ across: 0, down: 0 })
  await inside('Start the race')
  await inside('All numbers')
  await page.getByRole('button', { name: 'Start the race' }).click()
  await expect(page.getByRole('button', { name: /^Stop, keep/ })).toBeVisible()
  expect(await overflow()).toEqual({ across: 0, down: 0 })
  await finished(page)
  expect(await overflow()).toEqual({ across: 0, down: 0 })
  await inside('All numbers')
  const matrix = await page.getByRole('tabpanel').evaluate((panel) => panel.scrollHeight - panel.clientHeight)
  expect(matrix).toBeLessThanOrEqual(0)
  await page.context().close()
})

test('nothing that was there moves when a race starts and ends', async ({ browser, baseURL }) => {
  const page = await open(browser, baseURL, { viewport: { width: 1440, height: 900 } })
  await openPlayground(page, 'steps=4&evaluateEvery=2')
  const places = async () => {
    const names = [
      page.getByRole('tab', { name: 'Try it' }),
      page.getByRole('rowheader', { name: 'Accuracy' }),
      page.getByRole('heading', { name: 'Budget' })
    ]
    return Promise.all(names.map(async (item) => await item.boundingBox()))
  }
  const before = await places()
  await page.getByRole('button', { name: 'Start the race' }).click()
  await expect(page.getByText('Tuning', { exact: true }).first()).toBeVisible({ timeout: 60_000 })
  expect(await places()).toEqual(before)
  await finished(page)
  expect(await places()).toEqual(before)
  await page.context().close()
})

test('a phone shows everything in one column, with targets for fingers', async ({ browser, baseURL }) => {
  const page = await open(browser, baseURL, phone)
  const across = () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
  const small = () =>
    page.evaluate(() =>
      [...document.querySelectorAll<HTMLElement>('button, summary, select, input:not([type=file], [type=radio], [type=checkbox]), nav a')]
        .filter(
          (element) => element.checkVisibility({ visibilityProperty: true }) && !element.closest('.visually-hidden, [aria-hidden=true]')
        )
        .map((element) => ({
          name: element.getAttribute('aria-label') ?? element.textContent.trim(),
          height: Math.round(element.getBoundingClientRect().height)
        }))
        .filter(({ height }) => height < 44)
    )
  await openPlayground(page, 'steps=4&evaluateEvery=2')
  expect(await across()).toBe(0)
  expect(await small()).toEqual([])
  const start = page.getByRole('button', { name: 'Start the race' })
  await expect(start).toBeInViewport()
  await start.tap()
  await expect(page.getByRole('img', { name: /one line a run/ })).toBeInViewport({ timeout: 60_000 })
  await finished(page)
  expect(await across()).toBe(0)
  for (const tab of ['Confusion', 'ROC and calibration', 'Classes', 'Try it']) {
    await page.getByRole('tab', { name: tab }).tap()
    expect(await across(), tab).toBe(0)
  }
  expect(await small()).toEqual([])
  for (const name of ['Prompt lab', 'Library', 'Learn']) {
    await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name }).tap()
    await expect(page.getByRole('heading', { level: 1, name })).toBeVisible()
    expect(await across(), name).toBe(0)
  }
  // What can be done with a run needs no scrolling aside.
  await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Library' }).tap()
  await expect(page.getByRole('button', { name: 'Delete Soft prompt' })).toBeVisible()
  expect(await page.locator('.scroll').evaluateAll((tables) => tables.map((table) => table.scrollWidth - table.clientWidth))).toEqual([0])
  expect(await small()).toEqual([])
  await page.context().close()
})

test('a link carries a set-up, and says what of it could not be used', async ({ browser, baseURL }) => {
  const page = await open(browser, baseURL, {})
  await openPlayground(page, 'task=subjects&methods=allWeights&steps=7&seed=-3')
  await expect(page.getByRole('radio', { name: 'Subjects' })).toBeChecked()
  await expect(page.getByRole('checkbox', { name: /^Soft prompt/ })).not.toBeChecked()
  await expect(page.getByRole('spinbutton', { name: 'Steps' })).toHaveValue('7')
  await expect(page.getByText('Seed takes a whole number from 0 to 999999.')).toBeVisible()
  await page.getByRole('button', { name: 'All right' }).click()
  await page.getByRole('radio', { name: 'Reviews' }).check({ force: true })
  await page.getByRole('checkbox', { name: /^Soft prompt/ }).check()
  await expect.poll(() => new URL(page.url()).hash).toBe('#/playground?steps=7')
  await page.context().close()
})

test('a file of one’s own becomes a task, whose columns can be changed', async ({ browser, baseURL }) => {
  const page = await open(browser, baseURL, {})
  await openPlayground(page)
  const moods = ['glad', 'sad', 'calm']
  const rows = Array.from({ length: 60 }, (_, i) => `"Line ${i}, with a comma",${moods[i % 3]},${i % 2 ? 'odd' : 'even'}`)
  const buffer = Buffer.from(['message,mood,parity', ...rows].join('\n'))
  await page.getByLabel(/^A CSV, TSV, JSON or JSONL file/).setInputFiles({ name: 'moods.csv', mimeType: 'text/csv', buffer })
  await expect(page.getByLabel('Text column')).toHaveValue('message')
  await page.getByLabel('Label column').selectOption('mood')
  await expect(page.locator('mark')).toHaveText(/glad|sad|calm/)
  await page.getByLabel('Label column').selectOption('parity')
  await expect(page.locator('mark')).toHaveText(/odd|even/)

  await page
    .getByLabel(/^A CSV, TSV, JSON or JSONL file/)
    .setInputFiles({ name: 'poor.csv', mimeType: 'text/csv', buffer: Buffer.from('only\none') })
  await expect(page.getByRole('alert')).toContainText('column')
  await expect(page.getByRole('button', { name: 'Start the race' })).toBeDisabled()
  await page.getByRole('radio', { name: 'Reviews' }).check({ force: true })
  await expect(page.getByRole('button', { name: 'Start the race' })).toBeEnabled()
  await page.context().close()
})

test('words of the table are explained to pointer and keyboard, and sort its columns', async ({ browser, baseURL }) => {
  const page = await open(browser, baseURL, {})
  await openPlayground(page, 'steps=2&evaluateEvery=1')
  const term = page.getByRole('button', { name: 'Accuracy', exact: true })
  await term.hover()
  const explanation = page.getByRole('tooltip').filter({ hasText: 'share of test examples' })
  await expect(explanation).toBeVisible()
  await page.mouse.move(0, 0)
  await expect(explanation).toBeHidden()
  await term.focus()
  await page.keyboard.press('Tab')
  await page.keyboard.press('Shift+Tab')
  await expect(explanation).toBeVisible()

  await page.getByRole('button', { name: 'Start the race' }).click()
  await finished(page)
  await page.getByRole('button', { name: 'Numbers trained', exact: true }).click()
  const header = page.getByRole('rowheader', { name: 'Numbers trained' })
  await expect(header).toHaveAttribute('aria-sort', 'ascending')
  const names = await page.getByRole('table').filter({ has: header }).getByRole('columnheader').allInnerTexts()
  const runs = names
    .map((name) =>
      name
        .replace(/^[A-Z]\s+/, '')
        .replace(/\s+/g, ' ')
        .trim()
    )
    .filter(Boolean)
  expect(runs).toEqual(['Soft prompt', 'All weights', 'Hand-written prompt'])
  await page.context().close()
})

test('the theme is chosen at once, and shown after a reload before the page’s program has come', async ({ browser, baseURL }) => {
  const page = await open(browser, baseURL, { colorScheme: 'light' })
  await page.goto('./#/learn')
  const paper = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor)
  const light = await paper()
  const toggle = page.getByRole('button', { name: /^Theme: / })
  await toggle.click()
  await expect(toggle).toHaveAccessibleName(/^Theme: light/)
  expect(await paper()).toBe(light)
  await toggle.click()
  await expect(toggle).toHaveAccessibleName(/^Theme: dark/)
  const dark = await paper()
  expect(dark).not.toBe(light)

  await page.route('**/assets/*.js', (route) => route.abort())
  await page.reload()
  expect(await paper()).toBe(dark)
  await expect(toggle).toHaveCount(0)
  await page.unroute('**/assets/*.js')
  await page.reload()
  await expect(toggle).toHaveAccessibleName(/^Theme: dark/)
  expect(await paper()).toBe(dark)
  await page.context().close()
})

test('a run is renamed in its place, and a name is not lost by Escape', async ({ browser, baseURL }) => {
  const page = await open(browser, baseURL, {})
  await openPlayground(page, 'steps=2&evaluateEvery=1&methods=softPrompt')
  await page.getByRole('button', { name: 'Start the race' }).click()
  await finished(page)
  await page.getByRole('link', { name: 'Kept in the library' }).click()
  await page.getByRole('button', { name: 'Rename Soft prompt' }).click()
  await page.getByLabel('New name of Soft prompt').fill('Tiny but mine')
  await page.keyboard.press('Enter')
  const renamed = page.getByRole('button', { name: 'Rename Tiny but mine' })
  await expect(renamed).toBeVisible()
  await renamed.click()
  await page.getByLabel('New name of Tiny but mine').fill('A slip')
  await page.keyboard.press('Escape')
  await expect(renamed).toBeFocused()
  await page.context().close()
})

test('every model and data set of the site shows its card', async ({ page }) => {
  await page.goto('./#/learn')
  const buttons = page.getByRole('button', { name: /^Card of / })
  await expect(buttons).toHaveCount(10)
  for (const [name, words] of [
    ['Tuneground 7M', 'pretrained from scratch'],
    ['Questions', 'Licence'],
    ['General prose', 'held-out plain English prose']
  ] as const) {
    await page.getByRole('button', { name: `Card of ${name}` }).click()
    await expect(page.getByRole('dialog')).toContainText(words)
    await page.keyboard.press('Escape')
    await expect(page.getByRole('dialog')).toBeHidden()
  }
})
