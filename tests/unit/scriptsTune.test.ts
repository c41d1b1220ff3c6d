// The command line of `npm run tune`: what becomes of its flags, and what it says to wrong ones.
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readTuneArguments } from '../../scripts/tuneArguments.mjs'
import { spreadOf } from '../../scripts/tuneSummary.mjs'

const MODEL = 'public/models/tuneground-2m'
const TASK = 'public/tasks/reviews'

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tuneground-tune-'))
  await mkdir(join(folder, 'my task'))
  await writeFile(join(folder, 'my task', 'task.json'), '{}')
  await writeFile(join(folder, 'mine.csv'), 'text,label\ngood,yes\n')
})

afterAll(() => rm(folder, { recursive: true }))

function job(...flags: string[]) {
  const read = readTuneArguments(flags)
  if (read === 'help') throw new Error('not a run')
  return { ...read, request: read.requests[0]! }
}

async function recipeFile(content: unknown): Promise<string> {
  const path = join(folder, `${crypto.randomUUID()}.json`)
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content))
  return path
}

describe('readTuneArguments', () => {
  it('reads the reference run', () => {
    const { request, output, webgpu } = job(
      ...['--model', MODEL, '--task', TASK, '--method', 'allWeights', '--steps', '100', '--seed', '7', '--json', join(folder, 'out.json')]
    )
    expect(request.modelPath).toBe('mounted/models/tuneground-2m')
    expect(request.task).toEqual({ kind: 'site', path: 'mounted/tasks/reviews' })
    expect(request.parts).toEqual([{ method: 'allWeights', options: {} }])
    expect(request.settings).toEqual({ budget: { kind: 'steps', steps: 100 }, evaluateEvery: 20, patience: 0 })
    expect(request.seed).toBe(7)
    expect(request.backend).toBeUndefined()
    expect(output).toBe(join(folder, 'out.json'))
    expect(webgpu).toBe('software')
  })

  it('reads every flag of the recipe', () => {
    const { request } = job(
      ...['--task', TASK, '--seconds', '2.5', '--batch-size', '8', '--learning-rate', '3e-4', '--weight-decay', '0', '--warmup', '0'],
      ...[
        '--schedule',
        'cosine',
        '--clip',
        '0.5',
        '--evaluate-every',
        '5',
        '--patience',
        '3',
        '--maximum-length',
        '64',
        '--backend',
        'wasm'
      ],
      ...['--option', 'virtualTokens=20', '--option', 'text=a=b'],
      ...['--precision', 'int8', '--memory', '1.5', '--gradient-checkpointing']
    )
    expect(request).toMatchObject({
      parts: [{ method: 'softPrompt', options: { virtualTokens: '20', text: 'a=b' }, learningRate: 3e-4, weightDecay: 0 }],
      schedule: { kind: 'cosine', warmupSteps: 0 },
      optimiser: { clipNorm: 0.5 },
      batchSize: 8,
      maximumLength: 64,
      precision: 'int8',
      memoryBytes: 1.5e9,
      gradientCheckpointing: true,
      backend: 'wasm',
      settings: { budget: { kind: 'seconds', seconds: 2.5 }, evaluateEvery: 5, patience: 3 }
    })
  })

  it('passes a file as text, with its columns and the seed of its split', () => {
    const { request, mounts } = job(
      ...[
        '--task',
        join(folder, 'mine.csv'),
        '--text-column',
        'text',
        '--label-word',
        'yes= good',
        '--label-word',
        'no= bad',
        '--seed',
        '3'
      ]
    )
    expect(request.task).toEqual({
      kind: 'file',
      name: 'mine.csv',
      text: 'text,label\ngood,yes\n',
      options: { textColumn: 'text', labelColumn: undefined, template: undefined, labelWords: { yes: ' good', no: ' bad' }, seed: 3 }
    })
    expect(mounts).toHaveLength(1)
  })

  it('mounts folders whose names need encoding', () => {
    const { request, mounts } = job('--task', join(folder, 'my task'))
    expect(request.task).toEqual({ kind: 'site', path: 'mounted/tasks/my%20task' })
    expect(mounts[1]).toEqual({ path: 'mounted/tasks/my%20task', prefix: '/mounted/tasks/my task/', folder: join(folder, 'my task') })
  })

  it('reads a staged hybrid from a file, whose flags win over it', async () => {
    const parts = [
      { method: 'softPrompt', options: { virtualTokens: 5, start: 'labels' }, learningRate: 0.1, window: { from: 0, to: 0.5 } },
      { method: 'allWeights', window: { from: 0.5, to: 1 } }
    ]
    const recipe = await recipeFile({ parts, schedule: { kind: 'cosine', warmupSteps: 3 }, batchSize: 4, seed: 9 })
    const { request } = job('--task', TASK, '--recipe', recipe, '--warmup', '0')
    expect(request).toMatchObject({ parts, schedule: { kind: 'cosine', warmupSteps: 0 }, batchSize: 4, seed: 9 })
    expect(job('--task', TASK, '--recipe', recipe, '--seeds', '1,2,3').requests.map(({ seed }) => seed)).toEqual([1, 2, 3])
  })

  it('mounts adapters to start from, also those of a saved prompt', async () => {
    const adapter = 'tests/fixtures/golden/llama/adapters/prompt'
    const started = job('--task', TASK, '--adapter', adapter, '--adapter', adapter, '--steps', '0', '--learning-rate', '0.2')
    expect(started.request).toMatchObject({
      parts: [],
      adapters: ['mounted/adapters/0', 'mounted/adapters/1'],
      rates: { learningRate: 0.2 },
      settings: { budget: { steps: 0 } }
    })
    const recipe = await recipeFile({ parts: [{ method: 'softPrompt', options: { start: 'saved', savedRun: adapter } }] })
    const saved = job('--task', TASK, '--recipe', recipe)
    expect(saved.request.parts[0]!.options.savedRun).toBe('mounted/adapters/0')
    expect(saved.mounts.at(-1)).toMatchObject({ prefix: '/mounted/adapters/0/', folder: resolve(adapter) })
  })

  it('exports to a new folder only, in the form that is asked for', () => {
    const target = join(folder, 'new')
    expect(job('--task', TASK, '--export', target).export).toEqual({ folder: target, as: 'fitting' })
    expect(job('--task', TASK, '--export', target, '--export-as', 'merged').request.exportAs).toBe('merged')
    expect(() => job('--task', TASK, '--export', folder)).toThrow(/is there already/)
  })

  it.each([
    [{ parts: [] }, /recipe\.parts should be a list with at least one entry/],
    [{ parts: [{ method: 'lora', rate: 1 }] }, /recipe\.parts\[0\] has no field "rate"; it has method, options/],
    [{ parts: [{ options: {} }] }, /recipe\.parts\[0\]\.method is missing/],
    [{ parts: [{ method: 'lora', options: { rank: [8] } }] }, /options\.rank should be a text, a number, true or false and is \[8\]/],
    [{ parts: [{ method: 'lora', window: { from: 0 } }] }, /window\.to is missing/],
    [[], /recipe should be an object/],
    ['{', /is not JSON/]
  ])('refuses the recipe %j', async (content, message) => {
    const recipe = await recipeFile(content)
    expect(() => job('--task', TASK, '--recipe', recipe)).toThrow(message)
  })

  it.each([
    [['--task', TASK, '--tsak', 'x'], /tsak/, 2],
    [[], /--task is missing/, 2],
    [['--task', TASK, '--steps', 'ten'], /--steps is "ten"; it takes a whole number of at least 1/, 2],
    [['--task', TASK, '--steps', '1.5'], /whole number/, 2],
    [['--task', TASK, '--steps', '0'], /at least 1/, 2],
    [['--task', TASK, '--steps', '5', '--seconds', '5'], /exclude each other/, 2],
    [['--task', TASK, '--learning-rate=-1'], /at least 0/, 2],
    [['--task', TASK, '--schedule', 'step'], /one of: constant, linear, cosine/, 2],
    [['--task', TASK, '--seeds', '1,1'], /--seeds is "1,1"/, 2],
    [['--task', TASK, '--seeds', '1', '--seed', '1'], /exclude each other/, 2],
    [['--task', TASK, '--adapter', 'any'], /has no adapter_config.json.*--webgpu/, 1],
    [['--task', TASK, '--adapter', 'x', '--method', 'lora'], /--method and --adapter exclude each other/, 2],
    [['--task', TASK, '--recipe', 'x', '--learning-rate', '1'], /belongs to one method/, 2],
    [['--task', TASK, '--recipe', 'nowhere.json'], /nowhere.json cannot be read/, 1],
    [['--task', TASK, '--export-as', 'peft'], /needs --export/, 2],
    [['--task', TASK, '--backend', 'cuda'], /one of: auto, webgpu, wasm, webgl/, 2],
    [['--task', TASK, '--option', 'virtualTokens'], /key=value/, 2],
    [['--task', TASK, '--text-column', 'text'], /belong to a file/, 2],
    [['--task', 'public/tasks/general'], /no task.json/, 1],
    [['--task', 'nowhere'], /There is no file or folder .*nowhere/, 1],
    [['--task', 'README.md'], /\.csv, \.tsv, \.json, \.jsonl/, 1],
    [['--task', TASK, '--model', 'public/tasks/reviews'], /has no config.json/, 1],
    [['--task', TASK, '--model', 'nowhere'], /There is no folder .*nowhere \(--model\)/, 1],
    [['--task', TASK, '--model', 'tests/fixtures/golden/llama'], /has no tokenizer.json, nor vocab.json and merges.txt/, 1],
    [['--task', TASK, '--json', 'nowhere/out.json'], /There is no folder .*nowhere \(--json\)/, 1]
  ])('refuses %j', (flags, message, exitCode) => {
    expect(() => readTuneArguments(flags)).toThrow(message)
    try {
      readTuneArguments(flags)
    } catch (error) {
      expect((error as { exitCode: number }).exitCode).toBe(exitCode)
    }
  })

  it('compares seeds by mean and spread', () => {
    expect(spreadOf([1, 2, 6])).toEqual({ mean: 3, standardDeviation: Math.sqrt(7), values: [1, 2, 6] })
    expect(spreadOf([4]).standardDeviation).toBe(0)
  })

  it('shows its usage before anything is checked', () => {
    expect(readTuneArguments(['--help', '--task', 'nowhere'])).toBe('help')
  })
})
