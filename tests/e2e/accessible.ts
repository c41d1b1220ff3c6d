// Holds what is on the page against the accessibility rules of WCAG 2.2 AA and good practice.
import AxeBuilder from '@axe-core/playwright'
import { expect, type Page } from '@playwright/test'

/** `state` names what is on the page where a rule is broken. */
export async function expectAccessible(page: Page, state: string): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']).analyze()
  const found = violations.map(
    ({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.target.join(' ')} (${node.failureSummary ?? ''})`).join('; ')}`
  )
  expect(found, state).toEqual([])
}

/** As `expectAccessible`, in the light and in the dark theme. */
export async function expectAccessibleInBothThemes(page: Page, state: string): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    await expectAccessible(page, `${state}, ${colorScheme}`)
  }
}
