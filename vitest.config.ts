// Test projects: `unit` runs in Node; `engine` and `parity` run in Chromium, where WebGPU is.
import { defineConfig } from 'vitest/config'
import { playwright } from '@vitest/browser-playwright'
import { chromiumFlags, findChromium } from './scripts/chromium.mjs'
import { serveGolden } from './scripts/goldenServer.mjs'

const browser = (name: string, include: string[]) => ({
  extends: true as const,
  optimizeDeps: {
    include: [
      '@tensorflow/tfjs',
      '@tensorflow/tfjs-backend-webgpu',
      '@tensorflow/tfjs-backend-wasm',
      '@huggingface/tokenizers',
      'idb-keyval',
      'fflate',
      'valibot',
      'papaparse',
      'comlink',
      'fast-check'
    ]
  },
  test: {
    name,
    include,
    testTimeout: 240_000,
    hookTimeout: 120_000,
    fileParallelism: false,
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      provider: playwright({ launchOptions: { executablePath: findChromium(), args: chromiumFlags() } }),
      instances: [{ browser: 'chromium' as const }]
    }
  }
})

export default defineConfig({
  plugins: [serveGolden()],
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          // Properties are tried on many inputs, and timing decides no test.
          testTimeout: 60_000,
          include: ['tests/unit/**/*.test.ts'],
          environment: 'node'
        }
      },
      browser('engine', ['tests/engine/**/*.test.ts']),
      browser('parity', ['tests/parity/**/*.test.ts'])
    ]
  }
})
