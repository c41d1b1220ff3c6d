// Finds a Chromium or Chrome to drive, and the flags that give it (software) WebGPU.
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chromium } from 'playwright'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome']

const COMMON_FLAGS = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--enable-unsafe-webgpu'
]

/** @param {string} name @returns {string | undefined} the full path of a command on PATH */
function onPath(name) {
  try {
    const path = execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim()
    return path || undefined
  } catch {
    return undefined
  }
}

/**
 * The browser to use: CHROME_PATH, then a system Chromium or Chrome, then Playwright's own.
 * @returns {string | undefined} its path, or undefined where there is none
 */
export function findChromium() {
  const named = process.env.CHROME_PATH
  if (named) {
    if (!existsSync(named)) throw new Error(`CHROME_PATH is ${named}, but there is no such file. Set it to a Chromium or Chrome.`)
    return named
  }
  for (const name of NAMES) {
    const path = onPath(name)
    if (path) return path
  }
  const bundled = chromium.executablePath()
  return existsSync(bundled) ? bundled : undefined
}

/**
 * Launch flags. `webgpu: 'software'` forces SwiftShader, so that results do not depend on the machine; `'any'` takes what is there.
 * @param {{ webgpu?: 'software' | 'any' }} [options]
 * @returns {string[]}
 */
export function chromiumFlags({ webgpu = 'software' } = {}) {
  return webgpu === 'software' ? [...COMMON_FLAGS, '--use-webgpu-adapter=swiftshader'] : COMMON_FLAGS
}
