// The static server: right types, nothing outside its folders, nothing for other hosts.
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fileOf, serve } from '../../scripts/serve.mjs'

interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: string
}

let folder: string
let served: Awaited<ReturnType<typeof serve>>

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tuneground-serve-'))
  await mkdir(join(folder, 'site', 'assets'), { recursive: true })
  await mkdir(join(folder, 'model'))
  await writeFile(join(folder, 'secret.txt'), 'secret')
  await writeFile(join(folder, 'site', 'index.html'), '<!doctype html>home')
  await writeFile(join(folder, 'site', '.sources'), 'stamp')
  await writeFile(join(folder, 'site', 'assets', 'engine-1a2b.wasm'), Buffer.from([0, 97, 115, 109]))
  await writeFile(join(folder, 'model', 'config.json'), '{}')
  served = await serve({ mounts: { '/': join(folder, 'site'), '/mounted/m1/': join(folder, 'model') } })
})

afterAll(async () => {
  await served.close()
  await rm(folder, { recursive: true })
})

/** A raw request: unlike fetch, it sends `..` and odd Host headers as they are. */
function ask(path: string, { method = 'GET', headers = {} }: { method?: string; headers?: Record<string, string> } = {}): Promise<Answer> {
  return new Promise((done, fail) => {
    request({ host: '127.0.0.1', port: served.port, path, method, headers: { host: 'localhost', ...headers } }, (response) => {
      let body = ''
      response.on('data', (chunk: Buffer) => (body += chunk.toString('latin1')))
      response.on('end', () => done({ status: response.statusCode ?? 0, headers: response.headers, body }))
    })
      .on('error', fail)
      .end()
  })
}

describe('serve', () => {
  it('serves the page at / with its policy, and checks again on every load', async () => {
    const { status, headers, body } = await ask('/?task=reviews')
    expect(status).toBe(200)
    expect(body).toBe('<!doctype html>home')
    expect(headers['content-type']).toBe('text/html; charset=utf-8')
    expect(headers['cache-control']).toBe('no-cache')
    expect(headers['content-security-policy']).toMatch(/^default-src 'none'; script-src 'self' 'wasm-unsafe-eval';/)
    expect(headers['x-content-type-options']).toBe('nosniff')
  })

  it('sends WebAssembly as application/wasm, so that it compiles while it streams, and keeps hashed assets', async () => {
    const { headers, body } = await ask('/assets/engine-1a2b.wasm')
    expect(headers['content-type']).toBe('application/wasm')
    expect(headers['content-length']).toBe('4')
    expect(headers['cache-control']).toContain('immutable')
    expect(body).toBe('\0asm')
  })

  it('answers 304 to the tag it gave, and 200 once the file changed', async () => {
    const { headers } = await ask('/mounted/m1/config.json')
    const tag = headers['etag'] as string
    const again = await ask('/mounted/m1/config.json', { headers: { 'if-none-match': tag } })
    expect([again.status, again.body]).toEqual([304, ''])
    await writeFile(join(folder, 'model', 'config.json'), '{"changed":1}')
    const changed = await ask('/mounted/m1/config.json', { headers: { 'if-none-match': tag } })
    expect([changed.status, changed.body]).toEqual([200, '{"changed":1}'])
  })

  it.each([
    '/../secret.txt',
    '/%2e%2e/secret.txt',
    '/assets/../../secret.txt',
    '/assets%2f..%2f..%2fsecret.txt',
    '/..%5csecret.txt',
    '/mounted/m1/../secret.txt',
    '/.sources',
    '/%00',
    '/%E0%A4%A',
    '/assets/',
    '/missing.js'
  ])('answers 404 to %s', async (path) => {
    const { status, body } = await ask(path)
    expect(status).toBe(404)
    expect(body).not.toContain('secret')
  })

  it('refuses other hosts (DNS rebinding) and other methods', async () => {
    expect((await ask('/', { headers: { host: 'evil.example' } })).status).toBe(403)
    expect((await ask('/', { headers: { host: 'localhost.evil.example' } })).status).toBe(403)
    expect((await ask('/', { method: 'POST' })).status).toBe(405)
  })

  it('answers HEAD with headers alone', async () => {
    const { status, headers, body } = await ask('/', { method: 'HEAD' })
    expect([status, headers['content-length'], body]).toEqual([200, '19', ''])
  })

  it('takes the next free port where the wanted one is taken', async () => {
    const second = await serve({ mounts: { '/': join(folder, 'model') }, port: served.port })
    try {
      expect(second.port).toBeGreaterThan(served.port)
      expect(await (await fetch(`${second.url}config.json`)).text()).toContain('{')
    } finally {
      await second.close()
    }
  })
})

describe('fileOf', () => {
  it('takes the longest mount, and the index of a folder', () => {
    const mounts = { '/': '/site', '/tasks/mine/': '/elsewhere/task' }
    expect(fileOf('/tasks/mine/task.json', mounts)).toBe('/elsewhere/task/task.json')
    expect(fileOf('/tasks/reviews/task.json', mounts)).toBe('/site/tasks/reviews/task.json')
    expect(fileOf('/', mounts)).toBe('/site/index.html')
    expect(fileOf('/a%20b/', mounts)).toBe('/site/a b/index.html')
  })
})
