// The commands a person types: `npm start` and `npm run tune`, run as they are.
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from '@playwright/test'
import { bfloat16, sharded } from '../unit/modelFolders'
import { tinyModelFiles, writeTinyModel } from './tinyModel'

interface Outcome {
  code: number | null
  stdout: string
  stderr: string
}

interface Running {
  ended: Promise<Outcome>
  /** Resolves to the first match in what it printed. */
  said(pattern: RegExp): Promise<string>
  interrupt(): void
}

function start(script: string, ...flags: string[]): Running {
  const child = spawn(process.execPath, [script, ...flags], { env: { ...process.env, CI: 'true' } })
  let stdout = ''
  let stderr = ''
  let look = (): void => undefined
  const keep = (read: (text: string) => void) => (chunk: Buffer) => {
    read(chunk.toString())
    look()
  }
  child.stdout.on(
    'data',
    keep((text) => (stdout += text))
  )
  child.stderr.on(
    'data',
    keep((text) => (stderr += text))
  )
  const ended = new Promise<Outcome>((done) => child.on('close', (code) => done({ code, stdout, stderr })))
  return {
    ended,
    said: (pattern) =>
      new Promise((done, fail) => {
        look = () => {
          const match = pattern.exec(stdout + stderr)
          if (match) done(match[0])
        }
        look()
        void ended.then(() => fail(new Error(`It never said ${pattern}:\n${stdout}${stderr}`)))
      }),
    interrupt: () => child.kill('SIGINT')
  }
}

let folder: string

test.beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tuneground-commands-'))
  await writeTinyModel(join(folder, 'tiny'))
})

test.afterAll(() => rm(folder, { recursive: true }))

test('npm start serves the page, a second one takes the next port, and Ctrl-C ends both cleanly', async () => {
  const first = start('scripts/start.mjs', '--no-open', '--port', '4573')
  const firstUrl = await first.said(/http:\/\/localhost:\d+\//)
  const second = start('scripts/start.mjs', '--no-open', '--port', new URL(firstUrl).port)
  const secondUrl = await second.said(/http:\/\/localhost:\d+\//)
  expect(secondUrl).not.toBe(firstUrl)
  for (const url of [firstUrl, secondUrl]) expect(await (await fetch(url)).text()).toContain('<title>Tuneground</title>')
  first.interrupt()
  second.interrupt()
  for (const { code, stderr } of [await first.ended, await second.ended]) expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  await expect(fetch(firstUrl)).rejects.toThrow()
})

test('npm run tune prints the result of a run as JSON, the same again for the same seed', async () => {
  const flags = ['--model', join(folder, 'tiny'), '--task', 'public/tasks/reviews', '--method', 'softPrompt', '--steps', '3', '--seed', '5']
  const tune = () => start('scripts/tune.mjs', ...flags, '--evaluate-every', '2', '--option', 'virtualTokens=4', '--backend', 'wasm').ended
  const { code, stdout, stderr } = await tune()
  expect(stderr).toContain('step 3/3')
  expect(code).toBe(0)
  interface Printed {
    metrics: { accuracy: number; confusion: number[][]; labels: string[]; examples: number }
    validation: { examples: number }
    untrained: { accuracy: number }
    forgetting: { before: number; after: number; adapterOff: number }
    cost: { steps: number; trainableParameters: number; seconds: number }
    curve: { steps: { loss: number }[]; validation: { step: number }[] }
    recipe: { seed: number }
    device: { backend: string }
    versions: Record<string, string>
  }
  const result = JSON.parse(stdout) as Printed
  expect(result.metrics.labels).toEqual(['positive', 'negative'])
  expect(result.metrics.confusion.flat().reduce((sum, count) => sum + count)).toBe(150)
  expect(result.validation.examples).toBe(90)
  expect(result.cost).toMatchObject({ steps: 3, trainableParameters: 4 * 16 })
  expect(result.forgetting.adapterOff).toBe(result.forgetting.before)
  expect(result.curve.steps).toHaveLength(3)
  expect(result.curve.validation.at(-1)?.step).toBe(3)
  expect(result.recipe.seed).toBe(5)
  expect(result.device.backend).toBe('wasm')
  expect(result.versions['tensorflowjs']).toBe('4.22.0')

  const again = JSON.parse((await tune()).stdout) as Printed
  expect(again.curve.steps.map(({ loss }) => loss)).toEqual(result.curve.steps.map(({ loss }) => loss))
  expect(again.metrics).toEqual(result.metrics)
})

test('npm run tune takes a sharded model and a file of the user, and writes the result beside it', async () => {
  await writeTinyModel(join(folder, 'sharded'), sharded(bfloat16(tinyModelFiles()), 2))
  const rows = Array.from({ length: 40 }, (_, i) => (i % 2 ? `"Lovely, number ${i}",good` : `Awful number ${i},bad`))
  await writeFile(join(folder, 'mine.csv'), ['words,verdict', ...rows].join('\n'))
  const output = join(folder, 'out.json')
  const flags = [
    '--model',
    join(folder, 'sharded'),
    '--task',
    join(folder, 'mine.csv'),
    '--method',
    'allWeights',
    '--steps',
    '2',
    '--json',
    output
  ]
  const { code, stdout, stderr } = await start('scripts/tune.mjs', ...flags, '--backend', 'wasm').ended
  expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: '' })
  const result = JSON.parse(await readFile(output, 'utf8')) as { metrics: { examples: number }; validation: { examples: number } }
  expect([result.metrics.examples, result.validation.examples]).toEqual([10, 6])
})

test('npm run tune compares seeds, exports, tests an adapter, and starts a staged recipe from it', async () => {
  interface Run {
    metrics: { accuracy: number; logLoss: number }
    bestStep: number
    curve: { validation: { step: number; loss: number }[] }
  }
  const tune = async <Printed>(...flags: string[]): Promise<Printed> => {
    const place = ['--model', join(folder, 'tiny'), '--task', 'public/tasks/reviews', '--backend', 'wasm']
    const { code, stdout, stderr } = await start('scripts/tune.mjs', ...place, ...flags).ended
    expect(code, stderr).toBe(0)
    return JSON.parse(stdout) as Printed
  }
  const exported = join(folder, 'exported')
  const flags = ['--option', 'virtualTokens=3', '--steps', '2', '--evaluate-every', '2', '--warmup', '0']
  const { summary, runs } = await tune<{ summary: { seeds: number[]; accuracy: { mean: number } }; runs: Run[] }>(
    ...[...flags, '--seeds', '4,5', '--export', exported]
  )
  expect(summary.seeds).toEqual([4, 5])
  expect(summary.accuracy.mean).toBeCloseTo((runs[0]!.metrics.accuracy + runs[1]!.metrics.accuracy) / 2, 12)

  const adapter = join(exported, 'seed-5')
  expect((await readdir(adapter)).sort()).toEqual(['README.md', 'adapter_config.json', 'adapter_model.safetensors'])
  const tested = await tune<Run>('--adapter', adapter, '--steps', '0')
  expect(tested.metrics).toEqual(runs[1]!.metrics)

  const parts = [
    { method: 'softPrompt', options: { virtualTokens: 3, start: 'saved', savedRun: adapter }, window: { from: 0, to: 0.5 } },
    { method: 'lora', options: { rank: 1 }, window: { from: 0.5, to: 1 } }
  ]
  await writeFile(join(folder, 'recipe.json'), JSON.stringify({ parts, batchSize: 4 }))
  const staged = await tune<Run>('--recipe', join(folder, 'recipe.json'), '--steps', '2', '--evaluate-every', '2')
  const left = runs[1]!.curve.validation.find(({ step }) => step === runs[1]!.bestStep)!
  expect(staged.curve.validation[0]).toMatchObject({ step: 0, loss: left.loss })
})

test('npm run tune says what is wrong without a stack trace', async () => {
  const cases: [string[], number, RegExp][] = [
    [['--task', 'public/tasks/reviews', '--steps', 'many'], 2, /--steps is "many"/],
    [['--task', 'public/tasks/nowhere'], 1, /There is no file or folder/],
    [['--task', 'public/tasks/reviews', '--method', 'magic'], 1, /no tuning method "magic"[^]*softPrompt/],
    [['--task', 'public/tasks/reviews', '--option', 'virtualTokens=1000'], 1, /1000[^]*from 1 to 100/],
    [
      ['--task', 'public/tasks/reviews', '--method', 'softPrompt', '--export', join(folder, 'no'), '--export-as', 'merged'],
      1,
      /cannot be worked/
    ]
  ]
  for (const [flags, exitCode, message] of cases) {
    const { code, stdout, stderr } = await start('scripts/tune.mjs', '--model', join(folder, 'tiny'), ...flags).ended
    expect({ code, stdout }, stderr).toEqual({ code: exitCode, stdout: '' })
    expect(stderr).toMatch(message)
    expect(stderr).not.toMatch(/^\s+at /m)
  }
})

test('npm run tune ends at Ctrl-C with 130', async () => {
  const running = start('scripts/tune.mjs', '--model', join(folder, 'tiny'), '--task', 'public/tasks/reviews', '--steps', '5000')
  await running.said(/device: /)
  running.interrupt()
  const { code, stderr } = await running.ended
  expect(code).toBe(130)
  expect(stderr).toContain('Interrupted.')
  expect(stderr).not.toMatch(/^\s+at /m)
})
