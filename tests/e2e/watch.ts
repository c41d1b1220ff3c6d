// Sees what a page must not do: complain in the console, break its policy, or talk to another host.
import { expect, type BrowserContext, type Page } from '@playwright/test'

export interface Watch {
  /** Warnings, errors and policy violations, as they were printed. */
  complaints: string[]
  /** Addresses of all http(s) requests of the context, the workers' included. */
  requests: string[]
  /** Asserts that there was no complaint, and that every request went to localhost. */
  expectQuiet(): void
}

/** Not the page's own doing: printed where a test blocks the service worker. */
const BLOCKED = 'Service Worker registration blocked by Playwright'

const REPORT = 'policy violation:'

/** Call before the page is opened. */
export async function watch(context: BrowserContext, page: Page): Promise<Watch> {
  const complaints: string[] = []
  const requests: string[] = []
  await page.addInitScript((report) => {
    document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI, sourceFile, lineNumber }) =>
      console.error(report, violatedDirective, blockedURI, sourceFile, lineNumber)
    )
  }, REPORT)
  page.on('console', (message) => {
    const isComplaint = ['error', 'warning'].includes(message.type()) && message.text() !== BLOCKED
    if (isComplaint) complaints.push(`${message.type()}: ${message.text()}`)
  })
  page.on('pageerror', (error) => complaints.push(`uncaught: ${error.message}`))
  context.on('request', (request) => {
    if (/^https?:/.test(request.url())) requests.push(request.url())
  })
  return {
    complaints,
    requests,
    expectQuiet() {
      expect(complaints).toEqual([])
      expect(requests.filter((address) => new URL(address).hostname !== 'localhost')).toEqual([])
    }
  }
}

/** Waits until the race is over. */
export const finished = (page: Page) => expect(page.getByText('Finished', { exact: true }).first()).toBeVisible({ timeout: 150_000 })

/** Waits until a race has made so many steps. Looked for at every frame, since a quick machine races past a range of steps between two looks of an assertion. */
export async function reached(page: Page, step: number): Promise<void> {
  await page.waitForFunction(
    (least) =>
      [...document.querySelectorAll('main p')].some(
        ({ textContent }) => Number(/^\s*step (\d+) of \d+\s*$/.exec(textContent)?.[1]) >= least
      ),
    step,
    { polling: 'raf', timeout: 60_000 }
  )
}

/** Opens the playground and waits until the model and the task are loaded. `query` is a link's: `steps=4&seed=2`. */
export async function openPlayground(page: Page, query = ''): Promise<void> {
  await page.goto(`./#/playground${query === '' ? '' : `?${query}`}`)
  await expect(page.getByRole('button', { name: 'Start the race' })).toBeEnabled({ timeout: 60_000 })
}
