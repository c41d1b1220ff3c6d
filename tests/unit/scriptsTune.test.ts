// The command line of `npm run tune`: what becomes of its flags, and what it says to wrong ones.
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readTuneArguments } from '../../scripts/tuneArguments.mjs'

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
  return read
}

describe('readTuneArguments', () => {
  it('reads the reference run', () => {
    const { request, output, adapter } = job(
      ...['--model', MODEL, '--task', TASK, '--method', 'allWeights', '--steps', '100', '--seed', '7', '--json', join(folder, 'out.json')]
    )
    expect(request.modelPath).toBe('mounted/models/tuneground-2m')
    expect(request.task).toEqual({ kind: 'site', path: 'mounted/tasks/reviews' })
    expect(request.method).toBe('allWeights')
    expect(request.settings).toEqual({ budget: { kind: 'steps', steps: 100 }, evaluateEvery: 20, patience: 0 })
    expect(request.seed).toBe(7)
    expect(request.backend).toBeUndefined()
    expect(request.learningRate).toBeUndefined()
    expect(output).toBe(join(folder, 'out.json'))
    expect(adapter).toBe('software')
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
      ...['--option', 'virtualTokens=20', '--option', 'text=a=b']
    )
    expect(request).toMatchObject({
      method: 'softPrompt',
      options: { virtualTokens: '20', text: 'a=b' },
      learningRate: 3e-4,
      weightDecay: 0,
      warmupSteps: 0,
      schedule: 'cosine',
      clipNorm: 0.5,
      batchSize: 8,
      maximumLength: 64,
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

  it.each([
    [['--task', TASK, '--tsak', 'x'], /tsak/, 2],
    [[], /--task is missing/, 2],
    [['--task', TASK, '--steps', 'ten'], /--steps is "ten"; it takes a whole number of at least 1/, 2],
    [['--task', TASK, '--steps', '1.5'], /whole number/, 2],
    [['--task', TASK, '--steps', '0'], /at least 1/, 2],
    [['--task', TASK, '--steps', '5', '--seconds', '5'], /exclude each other/, 2],
    [['--task', TASK, '--learning-rate=-1'], /at least 0/, 2],
    [['--task', TASK, '--schedule', 'step'], /one of: constant, linear, cosine/, 2],
    [['--task', TASK, '--backend', 'cuda'], /one of: auto, webgpu, wasm, webgl/, 2],
    [['--task', TASK, '--option', 'virtualTokens'], /key=value/, 2],
    [['--task', TASK, '--text-column', 'text'], /belong to a file/, 2],
    [['--task', 'public/tasks/general'], /no task.json/, 1],
    [['--task', 'nowhere'], /There is no file or folder .*nowhere/, 1],
    [['--task', 'README.md'], /\.csv, \.tsv, \.json, \.jsonl/, 1],
    [['--task', TASK, '--model', 'public/tasks/reviews'], /has no config.json/, 1],
    [['--task', TASK, '--model', 'nowhere'], /There is no folder .*nowhere \(--model\)/, 1],
    [['--task', TASK, '--json', 'nowhere/out.json'], /There is no folder .*nowhere \(--json\)/, 1]
  ])('refuses %j', (flags, message, exitCode) => {
    expect(() => readTuneArguments(flags)).toThrow(message)
    try {
      readTuneArguments(flags)
    } catch (error) {
      expect((error as { exitCode: number }).exitCode).toBe(exitCode)
    }
  })

  it('shows its usage before anything is checked', () => {
    expect(readTuneArguments(['--help', '--task', 'nowhere'])).toBe('help')
  })
})
