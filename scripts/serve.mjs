// A small static server for this machine alone: the built page, and folders mounted beside it.
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createServer } from 'node:http'
import { extname, join, resolve, sep } from 'node:path'
import { HEADER_POLICY } from './csp.mjs'

/** @type {Record<string, string>} */
const MIME_TYPES = {
  '.css': 'text/css; charset=utf-8',
  '.csv': 'text/csv; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.jsonl': 'application/x-ndjson; charset=utf-8',
  '.md': 'text/markdown; charset=utf-8',
  '.png': 'image/png',
  '.safetensors': 'application/octet-stream',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
  '.webmanifest': 'application/manifest+json',
  '.woff2': 'font/woff2'
}

/** Names other than these in the Host header come from elsewhere (DNS rebinding) and are refused. */
const LOCAL_NAMES = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/

/** Both, since browsers try ::1 first for `localhost` and another program may sit there. */
const LOCAL_ADDRESSES = ['127.0.0.1', '::1']

/**
 * The file that a URL path names, or undefined where it names none inside the mounts.
 * @param {string} urlPath encoded, without its query
 * @param {Record<string, string>} mounts URL prefix, ending in '/', to folder; the longest prefix wins
 * @returns {string | undefined}
 */
export function fileOf(urlPath, mounts) {
  let path
  try {
    path = decodeURIComponent(urlPath)
  } catch {
    return undefined
  }
  if (path.includes('\0') || path.includes('\\')) return undefined
  const prefix = Object.keys(mounts)
    .filter((candidate) => path.startsWith(candidate))
    .sort((a, b) => b.length - a.length)[0]
  if (prefix === undefined) return undefined
  const rest = path.slice(prefix.length)
  if (rest.split('/').some((part) => part.startsWith('.'))) return undefined
  const folder = resolve(/** @type {string} */ (mounts[prefix]))
  const file = resolve(join(folder, rest === '' || rest.endsWith('/') ? `${rest}index.html` : rest))
  return file.startsWith(folder.endsWith(sep) ? folder : folder + sep) ? file : undefined
}

/**
 * @param {Record<string, string>} mounts
 * @param {import('node:http').IncomingMessage} request
 * @param {import('node:http').ServerResponse} response
 */
async function answer(mounts, request, response) {
  const refuse = (/** @type {number} */ status, /** @type {string} */ text) => {
    response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', 'X-Content-Type-Options': 'nosniff' })
    response.end(request.method === 'HEAD' ? undefined : `${text}\n`)
  }
  if (!LOCAL_NAMES.test(request.headers.host ?? '')) return refuse(403, 'Only localhost is served.')
  if (request.method !== 'GET' && request.method !== 'HEAD') return refuse(405, 'Only GET and HEAD are answered.')
  const path = (request.url ?? '/').replace(/[?#].*$/s, '')
  const file = fileOf(path, mounts)
  const info = file === undefined ? undefined : await stat(file).catch(() => undefined)
  if (file === undefined || !info?.isFile()) return refuse(404, 'Not found.')

  const etag = `"${info.size.toString(36)}-${Math.round(info.mtimeMs).toString(36)}"`
  const headers = {
    'Content-Type': MIME_TYPES[extname(file).toLowerCase()] ?? 'application/octet-stream',
    'Content-Security-Policy': HEADER_POLICY,
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
    // Built assets carry a hash of their content in their name.
    'Cache-Control': path.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
    ETag: etag
  }
  if (request.headers['if-none-match'] === etag) {
    response.writeHead(304, headers)
    return response.end()
  }
  response.writeHead(200, { ...headers, 'Content-Length': info.size })
  if (request.method === 'HEAD') return response.end()
  createReadStream(file)
    .on('error', () => response.destroy())
    .pipe(response)
}

/** @typedef {import('node:http').Server} Server */
/** @typedef {{ url: string, port: number, close: () => Promise<void> }} Served */

/** @param {Server} server @param {number} port @param {string} host @returns {Promise<number>} the port it got */
function listen(server, port, host) {
  return new Promise((done, fail) => {
    server.once('error', fail)
    server.listen(port, host, () => done(/** @type {import('node:net').AddressInfo} */ (server.address()).port))
  })
}

/** @param {unknown} error @param {string[]} codes */
const hasCode = (error, ...codes) => codes.includes(/** @type {NodeJS.ErrnoException} */ (error).code ?? '')

/** @param {Server[]} servers */
async function closeAll(servers) {
  await Promise.all(
    servers.map(
      (server) =>
        new Promise((done) => {
          server.close(done)
          server.closeAllConnections()
        })
    )
  )
}

/**
 * Serves folders on localhost until `close()`.
 * @param {{ mounts: Record<string, string>, port?: number }} options `mounts` as in `fileOf`; port 0 is any free one, else the first free from `port` on
 * @returns {Promise<Served>}
 */
export async function serve({ mounts, port = 0 }) {
  for (let wanted = port; ; wanted++) {
    /** @type {Server[]} */
    const servers = []
    try {
      let got = wanted
      for (const host of LOCAL_ADDRESSES) {
        const server = createServer((request, response) => {
          answer(mounts, request, response).catch(() => response.destroy())
        })
        try {
          got = await listen(server, got, host)
          servers.push(server)
        } catch (error) {
          if (host === '::1' && hasCode(error, 'EADDRNOTAVAIL', 'EAFNOSUPPORT')) continue
          throw error
        }
      }
      return { url: `http://localhost:${got}/`, port: got, close: () => closeAll(servers) }
    } catch (error) {
      await closeAll(servers)
      if (!hasCode(error, 'EADDRINUSE', 'EACCES') || wanted > port + 100) throw error
    }
  }
}
