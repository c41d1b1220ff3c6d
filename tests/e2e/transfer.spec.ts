// What was tuned leaves the page as folders for PEFT and Transformers, and an adapter comes in again with the same answers.
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test, type Page } from '@playwright/test'
import { strFromU8, unzipSync } from 'fflate'
import { readSafetensors } from '../../src/engine/formats/safetensors'
import { routeTinyModel } from './tinyModel'
import { finished, openPlayground } from './watch'

test.use({ serviceWorkers: 'block' })

test.beforeEach(async ({ context }) => routeTinyModel(context))

async function save(page: Page, run: string, form: string): Promise<Record<string, Uint8Array>> {
  await page.goto('./#/library')
  await page
    .getByRole('button', { name: `Export ${run}`, exact: true })
    .first()
    .click()
  const download = page.waitForEvent('download')
  await page.getByRole('button', { name: `Save ${form} (.zip)` }).click()
  return unzipSync(new Uint8Array(await readFile(await (await download).path())))
}

async function ask(page: Page, run: string): Promise<string[]> {
  await page.getByRole('tab', { name: 'Try it' }).click()
  await page.getByLabel('A text of yours').fill('What a lovely hotel.')
  await page.getByRole('button', { name: 'Ask' }).click()
  const answer = page.getByRole('article').filter({ has: page.getByRole('heading', { name: run }) })
  await expect(answer.getByRole('listitem')).toHaveCount(2)
  return answer.locator('.value').allInnerTexts()
}

test('an adapter goes out, comes in, answers the same, and is tuned further', async ({ page }) => {
  await openPlayground(page, 'steps=4&evaluateEvery=2')
  await page.getByRole('button', { name: 'Start the race' }).click()
  await finished(page)
  const before = await ask(page, 'Soft prompt')

  const whole = await save(page, 'All weights', 'Hugging Face folder')
  expect(Object.keys(whole)).toEqual(expect.arrayContaining(['README.md', 'config.json', 'model.safetensors', 'tokenizer.json']))
  const tensors = [...readSafetensors(whole['model.safetensors']!).tensors.values()]
  expect(tensors.map(({ dtype }) => dtype)).toEqual(tensors.map(() => 'F32'))
  expect(strFromU8(whole['README.md']!)).toMatch(/\| Accuracy \| 0\.\d+ \| 0\.\d+ \| 0\.\d+ \|/)

  const files = await save(page, 'Soft prompt', 'PEFT adapter')
  expect(Object.keys(files).sort()).toEqual(['README.md', 'adapter_config.json', 'adapter_model.safetensors'])
  const parent = await mkdtemp(join(tmpdir(), 'tuneground-adapter-'))
  await mkdir(join(parent, 'mine'))
  for (const [name, bytes] of Object.entries(files)) await writeFile(join(parent, 'mine', name), bytes)
  await page.getByLabel('The folder of an adapter').setInputFiles(join(parent, 'mine'))
  const dialog = page.getByRole('dialog', { name: 'Import an adapter' })
  await expect(dialog.getByLabel('Name')).toHaveValue('mine')
  await rm(parent, { recursive: true })
  await dialog.getByRole('button', { name: 'Test it' }).click()
  await finished(page)
  expect(await ask(page, 'mine')).toEqual(before)

  await page.goto('./#/library')
  await page.getByRole('button', { name: 'Tune mine further', exact: true }).click()
  await finished(page)
  await expect(page.getByRole('row', { name: /^mine, further 4 / })).toBeVisible()
})
