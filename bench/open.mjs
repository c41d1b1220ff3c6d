// Opens a page of this folder in headless Chromium, served from the sources, for the scripts beside it.
import { chromium } from 'playwright'
import { createServer } from 'vite'
import { chromiumFlags, findChromium } from '../scripts/chromium.mjs'

/**
 * @param {string} file name of the page
 * @param {string} ready global that the page sets when it can be called
 * @returns {Promise<{ page: import('playwright').Page, close: () => Promise<void> }>}
 */
export async function openBench(file, ready) {
  const server = await createServer({
    configFile: false,
    logLevel: 'error',
    server: { port: 0, hmr: false, watch: null },
    cacheDir: 'node_modules/.vite-bench',
    optimizeDeps: {
      noDiscovery: true,
      include: ['@tensorflow/tfjs', '@tensorflow/tfjs-backend-webgpu', '@tensorflow/tfjs-backend-wasm']
    }
  })
  await server.listen()
  const browser = await chromium.launch({ executablePath: findChromium(), args: chromiumFlags() })
  const page = await browser.newPage()
  page.on('pageerror', (error) => console.error(error))
  await page.goto(new URL(`bench/${file}`, server.resolvedUrls?.local[0]).href)
  await page.waitForFunction((name) => name in globalThis, ready, { timeout: 120_000 })
  return {
    page,
    close: async () => {
      await browser.close()
      await server.close()
    }
  }
}
