// How models are named in links and typed by people, and how fast one comes.
import { describe, expect, test } from 'vitest'
import { modelKey, modelOfKey, shortRevision } from '../../src/state/modelKeys'
import { TransferRate } from '../../src/state/transferRate'
import { parseHubAddress, parseHubName } from '../../src/storage/hubNames'
import type { ModelSource } from '../../src/worker/protocol'

describe('a model’s key', () => {
  test.each<ModelSource>([
    { kind: 'site', path: 'models/tuneground-7m' },
    { kind: 'hub', repository: 'org/name-1.5', revision: 'c0ffee0000000000000000000000000000000001' },
    { kind: 'hub', repository: 'gpt2', revision: 'refs/pr/2' },
    { kind: 'local', id: '0b5c', name: 'My model: the second' }
  ])('names %j and nothing else', (source) => {
    expect(modelOfKey(modelKey(source) ?? '')).toEqual(source)
  })

  test('without a revision means the main branch', () => {
    expect(modelOfKey('hub:org/name')).toEqual({ kind: 'hub', repository: 'org/name', revision: 'main' })
  })

  test.each([
    '',
    'none',
    'hub:',
    'hub:org/../name',
    'hub:a/b/c',
    'hub:https://x.test/a/b',
    'hub:org/name@../../x',
    'local:x',
    'local:a b:c'
  ])('is not %j', (key) => expect(modelOfKey(key)).toBeUndefined())
})

describe('what people type and paste', () => {
  const commit = 'c0ffee0000000000000000000000000000000001'
  test.each<[string, ReturnType<typeof parseHubName>]>([
    [' org/name ', { repository: 'org/name' }],
    ['org/name@v1.0', { repository: 'org/name', revision: 'v1.0' }],
    ['https://huggingface.co/org/name', { repository: 'org/name', address: 'https://huggingface.co' }],
    ['https://huggingface.co/org/name/?library=x#y', { repository: 'org/name', address: 'https://huggingface.co' }],
    ['https://huggingface.co/gpt2/tree/main', { repository: 'gpt2', address: 'https://huggingface.co' }],
    [
      `https://mirror.test/org/name/blob/${commit}/config.json`,
      { repository: 'org/name', revision: commit, address: 'https://mirror.test' }
    ],
    [
      'https://huggingface.co/org/name/tree/refs%2Fpr%2F1',
      { repository: 'org/name', revision: 'refs/pr/1', address: 'https://huggingface.co' }
    ],
    ['', undefined],
    ['org/name/else', undefined],
    ['../../etc', undefined],
    ['org/na me', undefined]
  ])('%j', (text, name) => expect(parseHubName(text)).toEqual(name))

  test('a hub’s address is https, or this computer', () => {
    expect(parseHubAddress('https://mirror.test/hub/')).toBe('https://mirror.test/hub')
    expect(parseHubAddress('http://localhost:4000')).toBe('http://localhost:4000')
    for (const text of [
      'http://mirror.test',
      'javascript:alert(1)',
      'mirror.test',
      'https://a:b@mirror.test',
      'https://mirror.test/?x=1'
    ]) {
      expect(parseHubAddress(text)).toBeUndefined()
    }
  })

  test('a commit is shown by its first digits', () => {
    expect([shortRevision(commit), shortRevision('v1.0')]).toEqual(['c0ffee0', 'v1.0'])
  })
})

describe('the speed of what comes', () => {
  test('is that of the last seconds', () => {
    const rate = new TransferRate()
    expect(rate.bytesPerSecond).toBeUndefined()
    rate.note(0, 0)
    rate.note(0.1, 500)
    expect(rate.secondsLeft(1000)).toBeUndefined()
    for (let second = 1; second <= 20; second++) rate.note(second, second * 100)
    for (let second = 21; second <= 30; second++) rate.note(second, 2000 + (second - 20) * 300)
    expect(rate.bytesPerSecond).toBe(300)
    expect(rate.secondsLeft(8000)).toBe(10)
  })
})
