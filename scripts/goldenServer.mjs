// Serves the golden fixtures to the tests that run in a browser: files under /golden/, folders as JSON lists.
import { createReadStream, existsSync, readdirSync, statSync } from 'node:fs'
import { isAbsolute, relative, resolve } from 'node:path'

const OWN_FIXTURES = 'tests/fixtures/golden'

/**
 * The folder of fixtures: GOLDEN_DIR, from the current folder if it is relative, else the repository's own.
 * @param {NodeJS.ProcessEnv} [environment]
 * @returns {{ path: string, own: boolean }} an absolute path, and whether the fixtures are the repository's own
 */
export function goldenFolder(environment = process.env) {
  const named = environment.GOLDEN_DIR
  const path = resolve(named || OWN_FIXTURES)
  if (!existsSync(path) || !statSync(path).isDirectory()) {
    throw new Error(`GOLDEN_DIR is ${path}, but there is no such folder. Set it to a folder of golden fixtures, or unset it.`)
  }
  return { path, own: !named }
}

/**
 * A Vite plugin: `/golden/` and `/golden/a/b/` answer `{ own, folders, files }`, `/golden/a/b/c` the file.
 * @returns {import('vite').Plugin}
 */
export function serveGolden() {
  return {
    name: 'golden-fixtures',
    configureServer(server) {
      const { path: root, own } = goldenFolder()
      server.middlewares.use('/golden', (request, response, next) => {
        const address = decodeURIComponent((request.url ?? '/').split('?')[0] ?? '/')
        const path = resolve(root, `.${address}`)
        const inside = relative(root, path)
        if (inside.startsWith('..') || isAbsolute(inside) || !existsSync(path)) {
          response.statusCode = 404
          response.end()
        } else if (statSync(path).isDirectory()) {
          const entries = readdirSync(path, { withFileTypes: true })
          const names = (/** @type {boolean} */ folders) =>
            entries.filter((entry) => entry.isDirectory() === folders).map((entry) => entry.name)
          response.setHeader('Content-Type', 'application/json')
          response.end(JSON.stringify({ own, folders: names(true).sort(), files: names(false).sort() }))
        } else {
          createReadStream(path).on('error', next).pipe(response)
        }
      })
    }
  }
}
