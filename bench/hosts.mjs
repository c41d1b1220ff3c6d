// Where contestants run: pages of one headless Chromium, or Node on Dawn with a Vulkan driver.
import { existsSync, readdirSync } from 'node:fs'
import { fork } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const HERE = fileURLToPath(new URL('.', import.meta.url))
const ROOT = join(HERE, '..')

/** @typedef {import('./types').Host} Host */

/** Pages of the contestants, served from the sources. */
const PAGES = /** @type {Record<string, string>} */ ({
  ours: 'bench/ours.html',
  jaxjs: 'bench/peers/jaxjs.html',
  nanogpt: 'bench/peers/nanogpt.html'
})

/**
 * Timestamps as they are, which pages get rounded to 0.1 ms, more than a graphics card takes for a product; and the card's own name. On Linux a headless Chromium
 * keeps to the processor by itself: the card of the Vulkan driver.
 */
const CARD_FLAGS = [
  '--enable-webgpu-developer-features',
  ...(process.platform === 'linux' ? ['--enable-features=Vulkan', '--use-angle=vulkan', '--disable-vulkan-surface'] : [])
]

/** @param {'software' | 'any'} webgpu @returns {Promise<Host>} each contestant in a page, so in a TensorFlow.js and on a GPU device, of its own */
export async function openChromium(webgpu) {
  const { chromium } = await import('playwright')
  const { createServer } = await import('vite')
  const { chromiumFlags, findChromium } = await import('../scripts/chromium.mjs')
  const server = await createServer({
    root: ROOT,
    configFile: false,
    logLevel: 'error',
    server: { port: 0, hmr: false, watch: null },
    cacheDir: join(ROOT, 'node_modules/.vite-bench'),
    optimizeDeps: {
      noDiscovery: true,
      include: ['@tensorflow/tfjs', '@tensorflow/tfjs-backend-webgpu', '@tensorflow/tfjs-backend-wasm']
    }
  })
  await server.listen()
  const args = [...chromiumFlags({ webgpu }), ...(webgpu === 'any' ? CARD_FLAGS : [])]
  const browser = await chromium.launch({ executablePath: findChromium(), args })
  /** @type {Map<string, Promise<import('playwright').Page>>} */
  const pages = new Map()
  /** @param {string} contestant */
  const open = async (contestant) => {
    const page = await browser.newPage()
    page.on('pageerror', (error) => console.error(`${contestant}: ${error.message}`))
    await page.goto(new URL(PAGES[contestant] ?? '', server.resolvedUrls?.local[0]).href)
    await page.waitForFunction(() => 'contestant' in globalThis, undefined, { timeout: 120_000 })
    return page
  }
  return {
    name: `Chromium ${browser.version()}`,
    async call(contestant, method, ...parameters) {
      const page = pages.get(contestant) ?? open(contestant)
      pages.set(contestant, page)
      return /** @type {Promise<never>} */ (
        (await page).evaluate(
          ([name, given]) => globalThis.contestant[name]?.(...given),
          /** @type {const} */ ([String(method), parameters])
        )
      )
    },
    async close() {
      await browser.close()
      await server.close()
    }
  }
}

/** Folders where Vulkan drivers say that they are there, and variables that name one elsewhere. */
const VULKAN_DRIVERS = ['/usr/share/vulkan/icd.d', '/etc/vulkan/icd.d', '/usr/local/share/vulkan/icd.d']
const VULKAN_VARIABLES = ['VK_DRIVER_FILES', 'VK_ADD_DRIVER_FILES', 'VK_ICD_FILENAMES']

/** @returns {boolean} whether Dawn has a driver to run on: one of Vulkan on Linux; macOS and Windows bring theirs */
export function hasGpuDriver() {
  if (process.platform !== 'linux' || VULKAN_VARIABLES.some((name) => process.env[name])) return true
  return VULKAN_DRIVERS.some((folder) => existsSync(folder) && readdirSync(folder).some((file) => file.endsWith('.json')))
}

/** @returns {Promise<Host>} each contestant in a child process, so in a TensorFlow.js and on a GPU device, of its own */
export async function openNode() {
  const { build } = await import('vite')
  const outDir = join(ROOT, 'node_modules/.bench-node')
  await build({
    root: ROOT,
    configFile: false,
    logLevel: 'error',
    build: {
      ssr: true,
      outDir,
      minify: false,
      copyPublicDir: false,
      rollupOptions: {
        input: { ours: join(HERE, 'ours.ts'), jaxjs: join(HERE, 'peers/jaxjs.js'), nanogpt: join(HERE, 'peers/nanogpt.js') },
        output: { entryFileNames: '[name].mjs' }
      }
    },
    // Bundled: packages of the browser's world, whose entries Node cannot load one by one.
    ssr: { noExternal: true, resolve: { mainFields: ['module', 'main'] } }
  })
  /** @type {Map<string, ReturnType<typeof startChild>>} */
  const children = new Map()
  return {
    name: `Node ${process.version} on Dawn`,
    async call(contestant, method, ...parameters) {
      const child = children.get(contestant) ?? startChild(join(outDir, `${contestant}.mjs`))
      children.set(contestant, child)
      return /** @type {Promise<never>} */ (child.call(String(method), parameters))
    },
    async close() {
      for (const { stop } of children.values()) stop()
    }
  }
}

/** @param {string} module of one contestant */
function startChild(module) {
  const child = fork(join(HERE, 'nodeHost.mjs'), [module], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  /** @type {Map<number, { resolve: (value: unknown) => void, reject: (error: Error) => void }>} */
  const waiting = new Map()
  let last = 0
  child.on('message', (/** @type {{ id: number, value?: unknown, error?: string }} */ { id, value, error }) => {
    const call = waiting.get(id)
    waiting.delete(id)
    if (error === undefined) call?.resolve(value)
    else call?.reject(new Error(error))
  })
  child.on('exit', () => waiting.forEach(({ reject }) => reject(new Error('Node on Dawn ended.'))))
  return {
    /** @param {string} method @param {unknown[]} parameters @returns {Promise<unknown>} */
    call: (method, parameters) =>
      new Promise((resolve, reject) => {
        waiting.set(++last, { resolve, reject })
        child.send({ id: last, method, parameters })
      }),
    stop: () => child.kill()
  }
}
