// Measures whether the page stays smooth while it trains: time between frames, and from a click to the next painted frame.
import { chromium } from 'playwright'
import { chromiumFlags, findChromium } from '../scripts/chromium.mjs'
import { DIST, ensureBuild } from '../scripts/ensure.mjs'
import { serve } from '../scripts/serve.mjs'

const FRAME_SECONDS = 10
const CLICKS = 20

/** @param {number[]} values @param {number} share @returns {number} */
const quantile = (values, share) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(share * values.length))] ?? NaN

await ensureBuild()
const server = await serve({ mounts: { '/': DIST } })
const browser = await chromium.launch({ executablePath: findChromium(), args: chromiumFlags({ webgpu: 'any' }) })
try {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } })
  await page.goto(`${server.url}#/playground?steps=1000&evaluateEvery=20`)
  await page.getByRole('button', { name: 'Start the race' }).click({ timeout: 120_000 })
  await page.getByText(/^step [3-9] of 1000$/).waitFor({ timeout: 300_000 })
  const frames = await page.evaluate(async (seconds) => {
    /** @type {number[]} */
    const gaps = []
    const end = performance.now() + 1000 * seconds
    let last = await new Promise(requestAnimationFrame)
    while (last < end) {
      const now = await new Promise(requestAnimationFrame)
      gaps.push(now - last)
      last = now
    }
    return gaps
  }, FRAME_SECONDS)
  const clicks = await page.evaluate(async (count) => {
    /** @type {number[]} */
    const delays = []
    const tabs = /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('[role=tab]'))
    for (let i = 0; i < count; i++) {
      const start = performance.now()
      tabs[i % tabs.length]?.click()
      await new Promise(requestAnimationFrame)
      await new Promise((done) => setTimeout(done))
      delays.push(performance.now() - start)
      await new Promise((done) => setTimeout(done, 150))
    }
    return delays
  }, CLICKS)
  const device = await page.getByRole('banner').innerText()
  const report = {
    device: device.replace(/\s+/g, ' '),
    framesPerSecond: Math.round((10 * frames.length) / FRAME_SECONDS) / 10,
    frameMilliseconds: { median: quantile(frames, 0.5), p95: quantile(frames, 0.95), worst: Math.max(...frames) },
    clickMilliseconds: { median: quantile(clicks, 0.5), worst: Math.max(...clicks) }
  }
  console.log(JSON.stringify(report, null, 2))
} finally {
  await browser.close()
  await server.close()
}
