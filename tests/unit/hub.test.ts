// A hub's model as it is looked at and fetched, against a hub of our own: what is asked, and what is said when it goes wrong.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { UserError } from '../../src/engine/errors'
import { openHubModel } from '../../src/worker/sources/hub'
import { COMMIT, startHub, type Hub } from '../e2e/hubServer'
import { sharded, tinyFolder, without } from './modelFolders'

let hub: Hub
const models = {
  'org/tiny': { ...tinyFolder, 'pytorch_model.bin': 'pickle', '.gitattributes': '' },
  'org/sharded': sharded(tinyFolder, 3),
  'org/gguf': { 'config.json': '{}', 'model.gguf': 'GGUF' }
}

beforeEach(async () => void (hub = await startHub(models)))
afterEach(() => hub.close())

const open = (repository: string, revision?: string) =>
  openHubModel({ repository, revision, address: hub.address }, () => new AbortController().signal)

async function gather(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  for await (const piece of stream) pieces.push(piece)
  return new Uint8Array(Buffer.concat(pieces))
}

describe('a model of the hub', () => {
  test('is offered at its commit, with its size, before its weights are fetched', async () => {
    const { offer, files, source } = await open('org/tiny')
    expect(source).toEqual({ kind: 'hub', repository: 'org/tiny', revision: COMMIT })
    const wanted = without(tinyFolder, 'pytorch_model.bin')
    expect(files.map(({ name }) => name).sort()).toEqual(Object.keys(wanted).sort())
    expect(offer.bytes).toBe(Object.values(wanted).reduce((sum, content) => sum + Buffer.from(content as Uint8Array).length, 0))
    const weights = (tinyFolder['model.safetensors'] as Uint8Array).length
    for (const range of hub.requests.filter((line) => line.includes('blob')).map((line) => /bytes=(\d+)-(\d+)/.exec(line)!)) {
      expect(Number(range[2]) - Number(range[1])).toBeLessThan(weights / 10)
    }
    expect(hub.requests.some((line) => /pytorch_model/.test(line))).toBe(false)
  })

  test('comes from any place on, with its checksum', async () => {
    const { files } = await open('org/tiny')
    const whole = tinyFolder['model.safetensors'] as Uint8Array
    const weights = files.find(({ name }) => name === 'model.safetensors')!
    expect(weights.sha256).toMatch(/^[0-9a-f]{64}$/)
    expect(Buffer.compare(await gather(weights.stream(0)), whole)).toBe(0)
    expect(await gather(weights.stream(whole.length - 5))).toEqual(whole.subarray(-5))
    expect(hub.requests.at(-1)).toContain(`bytes=${whole.length - 5}-${whole.length - 1}`)
  })

  test('may be sharded, and its small files are fetched once', async () => {
    const { files } = await open('org/sharded', 'v1')
    expect(files.filter(({ name }) => name.endsWith('.safetensors'))).toHaveLength(3)
    const before = hub.requests.length
    await gather(files.find(({ name }) => name === 'tokenizer.json')!.stream(0))
    expect(hub.requests).toHaveLength(before)
    expect(hub.requests[0]).toBe('/api/models/org/sharded/revision/v1')
  })

  test('is found behind a mirror that hides the client’s headers', async () => {
    hub.hideHeaders()
    const weights = (await open('org/tiny')).files.find(({ name }) => name === 'model.safetensors')!
    expect(weights.sha256).toMatch(/^[0-9a-f]{64}$/)
    expect(Buffer.compare(await gather(weights.stream(0)), tinyFolder['model.safetensors'] as Uint8Array)).toBe(0)
  })

  test('ends early where the line is cut, so that the rest can be asked for', async () => {
    const { files } = await open('org/tiny')
    hub.fail('blob/model.safetensors', { kind: 'cut', after: 1000 })
    let length = 0
    const read = async () => {
      for await (const bytes of files.find(({ name }) => name === 'model.safetensors')!.stream(0)) length += bytes.length
    }
    await expect(read()).rejects.not.toBeInstanceOf(UserError)
    expect(length).toBe(1000)
  })
})

describe('what goes wrong is said in words', () => {
  test.each<[string, () => void, string, string]>([
    ['org/none', () => undefined, 'no model org/none that is open to everyone', 'Check the name'],
    ['org/gguf', () => undefined, 'GGUF', 'Choose a model'],
    ['org/tiny', () => hub.fail('/revision/main', { kind: 'status', status: 404 }), 'has no model org/tiny', 'organisation/model'],
    ['org/tiny', () => hub.fail('config.json', { kind: 'status', status: 403 }), 'open to everyone', 'agreement'],
    [
      'org/tiny',
      () => hub.fail('/tree/' + COMMIT, { kind: 'status', status: 429, headers: { 'Retry-After': '17' } }),
      'too often',
      'Wait 17 seconds'
    ],
    ['org/tiny', () => hub.fail('tokenizer.json', { kind: 'status', status: 503 }), 'status 503', 'later'],
    ['org/tiny', () => hub.announce('model.safetensors', 77), 'where 77 were announced', 'another hub'],
    ['org/tiny', () => hub.fail('resolve/' + COMMIT + '/config.json', { kind: 'longer' }, 9), 'longer than', 'another hub'],
    ['org/tiny', () => void hub.close(), 'could not be reached', 'connection']
  ])('%s, case %#', async (repository, arrange, message, advice) => {
    arrange()
    const error = (await open(repository).catch((reason: unknown) => reason)) as UserError
    expect(error).toBeInstanceOf(UserError)
    expect(error.message).toContain(message)
    expect(error.advice).toContain(advice)
  })
})
