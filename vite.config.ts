// The build: two pages (the app, and the headless one that `npm run tune` drives), one worker, one service worker.
import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig, type Plugin } from 'vite'
import { VitePWA } from 'vite-plugin-pwa'
import { META_POLICY } from './scripts/csp.mjs'

/** The policy stands in the built pages only: the development server injects inline styles and scripts. */
const contentSecurityPolicy: Plugin = {
  name: 'content-security-policy',
  apply: 'build',
  transformIndexHtml: () => [
    { tag: 'meta', attrs: { 'http-equiv': 'Content-Security-Policy', content: META_POLICY }, injectTo: 'head-prepend' }
  ]
}

const offline = VitePWA({
  // A new version waits until the old one's pages are closed, so that it never interrupts a race.
  registerType: 'prompt',
  injectRegister: false,
  // They are under globPatterns already.
  includeManifestIcons: false,
  manifest: {
    name: 'Tuneground',
    short_name: 'Tuneground',
    description: 'Prompt tuning or full fine-tuning? Race them on a small language model, in your browser.',
    theme_color: '#12151c',
    background_color: '#12151c',
    display: 'standalone',
    icons: [
      { src: 'icons/icon.svg', sizes: 'any', type: 'image/svg+xml' },
      { src: 'icons/icon-192.png', sizes: '192x192', type: 'image/png' },
      { src: 'icons/icon-512.png', sizes: '512x512', type: 'image/png' },
      { src: 'icons/icon-512.png', sizes: '512x512', type: 'image/png', purpose: 'maskable' }
    ]
  },
  workbox: {
    globPatterns: ['**/*.{js,css,html,wasm,svg,png,json,jsonl,md,safetensors,woff2}'],
    globIgnores: ['models/tuneground-7m/*.{json,safetensors}', 'headless.html', 'assets/headless-*'],
    maximumFileSizeToCacheInBytes: 64 * 2 ** 20,
    clientsClaim: true,
    cleanupOutdatedCaches: true,
    inlineWorkboxRuntime: true,
    navigateFallbackDenylist: [/\/headless\.html/],
    runtimeCaching: [
      {
        // Models that are not embedded are kept from their first use on.
        urlPattern: ({ sameOrigin, url }) => sameOrigin && url.pathname.includes('/models/'),
        handler: 'CacheFirst',
        options: { cacheName: 'chosen-models', cacheableResponse: { statuses: [200] } }
      }
    ]
  }
})

/** Times of the build's plugins are no news to the person who starts the page. */
const checks = { bundlerTimings: false }

export default defineConfig({
  // Relative, so that the build works under any path.
  base: './',
  plugins: [svelte(), contentSecurityPolicy, offline],
  // The worker's dependencies too, or the first visit in development would reload once they are found.
  optimizeDeps: { entries: ['index.html', 'headless.html', 'src/worker/worker.ts'] },
  worker: { format: 'es', rolldownOptions: { checks } },
  build: {
    target: 'es2022',
    modulePreload: { polyfill: false },
    // Every asset is a file: a data: URL would need a wider connect-src.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 4096,
    rolldownOptions: {
      input: { index: 'index.html', headless: 'headless.html' },
      checks
    }
  }
})
