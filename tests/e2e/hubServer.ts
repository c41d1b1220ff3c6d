// A hub on this computer for tests: the real one's routes, redirects, ranges and ETags, and its faults on demand.
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Fault =
  | { kind: 'status'; status: number; headers?: Record<string, string> }
  /** The connection breaks behind so many bytes of the answer. */
  | { kind: 'cut'; after: number }
  /** The answer ends behind so many bytes in good order, so that the browser hands on all of them: of a broken one it may drop what was not yet read. */
  | { kind: 'short'; after: number }
  /** One byte is another, so that the checksum is. */
  | { kind: 'flip' }
  /** Sends more than it announced. */
  | { kind: 'longer' }
  /** Answers, but sends nothing until the connection is closed. */
  | { kind: 'stall' }

export interface Hub {
  /** Without a slash at its end. */
  address: string
  /** Method, path and range of every request, in order. */
  requests: string[]
  /** What goes wrong with requests whose path ends so; so many times. */
  fail(pathEnd: string, fault: Fault, times?: number): void
  /** What the listing says of a file's length, whatever it is. */
  announce(name: string, bytes: number): void
  /** Leaves out the headers that tell a file's size, checksum and place, as some mirrors do. */
  hideHeaders(): void
  close(): Promise<void>
}

export const COMMIT = 'c0ffee0000000000000000000000000000000001'

const CORS = {
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Allow-Headers': '*',
  'Access-Control-Expose-Headers': 'ETag,Link,Accept-Ranges,Content-Range,X-Linked-Size,X-Linked-ETag,X-Xet-Hash,X-Error-Code,Retry-After'
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const isBig = (name: string): boolean => name.endsWith('.safetensors')

/** Serves models by "organisation/name", each a folder of files by name. */
export async function startHub(models: Record<string, Record<string, string | Uint8Array>>): Promise<Hub> {
  const faults: { pathEnd: string; fault: Fault; times: number }[] = []
  const announced = new Map<string, number>()
  const requests: string[] = []
  let areHidden = false
  const bytesOf = (content: string | Uint8Array): Buffer => Buffer.from(content as Uint8Array)

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const path = decodeURIComponent((request.url ?? '/').replace(/\?.*$/, ''))
    if (request.method === 'OPTIONS') return void response.writeHead(204, CORS).end()
    requests.push(`${path}${request.headers.range ? ` ${request.headers.range}` : ''}`)
    const planned = faults.find((entry) => entry.times > 0 && path.endsWith(entry.pathEnd))
    if (planned) planned.times--
    const fault = planned?.fault
    if (fault?.kind === 'status') return void response.writeHead(fault.status, { ...CORS, ...fault.headers }).end('no')
    const [, api, repository = '', route, rest = ''] =
      /^(\/api\/models)?\/([^/]+\/[^/]+)\/(revision|tree|resolve|blob)\/(.+)$/.exec(path) ?? []
    const files = models[repository]
    if (!files) return void response.writeHead(401, CORS).end()
    if (api && route === 'revision')
      return json(response, { _id: '1', id: repository, sha: COMMIT, private: false, gated: false, lastModified: 0 })
    if (api && route === 'tree') return json(response, Object.entries(files).map(listed))
    const name = rest.split('/').at(-1) ?? ''
    const content = files[name]
    if (content === undefined) return void response.writeHead(404, { ...CORS, 'X-Error-Code': 'EntryNotFound' }).end()
    const bytes = bytesOf(content)
    if (areHidden) return void response.writeHead(request.headers.range ? 206 : 200, CORS).end(rangeOf(request, bytes))
    if (route === 'resolve' && isBig(name)) return sendOn(request, response, repository, name, bytes)
    sendFile(request, response, bytes, fault)
  }

  function listed([path, content]: [string, string | Uint8Array]): object {
    const bytes = bytesOf(content)
    const size = announced.get(path) ?? bytes.length
    return { type: 'file', path, size, oid: 'git', ...(isBig(path) && { lfs: { oid: sha256(bytes), size, pointerSize: 134 } }) }
  }

  /** Big files lie elsewhere: the client is told where and what, others are redirected. */
  function sendOn(request: IncomingMessage, response: ServerResponse, repository: string, name: string, bytes: Buffer): void {
    const linked = { ...CORS, 'X-Linked-Size': bytes.length, 'X-Linked-ETag': `"${sha256(bytes)}"` }
    if (!request.headers.accept?.includes('xet-fileinfo')) {
      return void response.writeHead(302, { ...linked, Location: `/${repository}/blob/${name}` }).end()
    }
    const link = (rel: string) => `<http://localhost/${rel}>; rel="${rel}"`
    response.writeHead(200, {
      ...linked,
      'Content-Type': 'application/vnd.xet-fileinfo+json',
      'X-Xet-Hash': 'abc',
      Link: `${link('xet-auth')}, ${link('xet-reconstruction-info')}`
    })
    response.end('{}')
  }

  const server = createServer(answer)
  await new Promise<void>((done) => server.listen(0, 'localhost', done))
  return {
    address: `http://localhost:${(server.address() as AddressInfo).port}`,
    requests,
    fail: (pathEnd, fault, times = 1) => void faults.push({ pathEnd, fault, times }),
    hideHeaders: () => void (areHidden = true),
    announce: (name, bytes) => void announced.set(name, bytes),
    close: () =>
      new Promise((done) => {
        server.close(() => done())
        server.closeAllConnections()
      })
  }
}

const RANGE = /^bytes=(\d+)-(\d+)$/

/** A copy of the bytes that were asked for. */
function rangeOf({ headers }: IncomingMessage, bytes: Buffer): Buffer {
  const [, from, to] = RANGE.exec(headers.range ?? '') ?? []
  return Buffer.from(from === undefined ? bytes : bytes.subarray(Number(from), Number(to) + 1))
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { ...CORS, 'Content-Type': 'application/json' }).end(JSON.stringify(value))
}

function sendFile(request: IncomingMessage, response: ServerResponse, bytes: Buffer, fault: Fault | undefined): void {
  const [, from, to] = RANGE.exec(request.headers.range ?? '') ?? []
  const part = rangeOf(request, bytes)
  const headers: Record<string, string | number> = { ...CORS, ETag: '"a-git-hash"', 'Accept-Ranges': 'bytes' }
  if (from !== undefined) headers['Content-Range'] = `bytes ${from}-${to}/${bytes.length}`
  // A server that sends more than it announced announces nothing.
  if (fault?.kind !== 'longer') headers['Content-Length'] = fault?.kind === 'short' ? fault.after : part.length
  response.writeHead(from === undefined ? 200 : 206, headers)
  if (fault?.kind === 'stall') return void response.flushHeaders()
  // Ended, and not destroyed: a reset may overtake the bytes that were sent.
  if (fault?.kind === 'cut') return void response.write(part.subarray(0, fault.after), () => response.socket?.end())
  if (fault?.kind === 'short') return void response.end(part.subarray(0, fault.after))
  if (fault?.kind === 'flip' && part.length > 0) part[part.length - 1]! ^= 1
  response.end(fault?.kind === 'longer' ? Buffer.concat([part, part]) : part)
}
