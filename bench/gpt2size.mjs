// Loads a random model of GPT-2's size in headless Chromium, tunes a soft prompt and generates: node bench/gpt2size.mjs [--layers 12]
import { parseArgs } from 'node:util'
import { openBench } from './open.mjs'

const { values: options } = parseArgs({ options: { layers: { type: 'string', default: '12' } } })

const { page, close } = await openBench('gpt2size.html', 'measureGpt2Size')
try {
  const result = await page.evaluate((layers) => globalThis.measureGpt2Size(layers), Number(options.layers))
  const { adapter, parameters, loadSeconds, stepSeconds, generateSeconds, losses, tokens, peakBytes, estimatedBytes, baseBytes } = result
  const megabytes = (/** @type {number} */ bytes) => `${(bytes / 1e6).toFixed(1)} MB`
  console.log(`${(parameters / 1e6).toFixed(1)} M parameters on ${adapter}, weights ${megabytes(baseBytes)}`)
  console.log(`loaded in ${loadSeconds.toFixed(1)} s; steps ${stepSeconds.map((seconds) => seconds.toFixed(1)).join(' and ')} s`)
  console.log(`${tokens.length} tokens in ${generateSeconds.toFixed(1)} s; losses ${losses.map((loss) => loss.toFixed(4)).join(', ')}`)
  console.log(
    `peak ${megabytes(peakBytes)}, foretold ${megabytes(estimatedBytes)} (${((100 * estimatedBytes) / peakBytes - 100).toFixed(1)} %)`
  )
} finally {
  await close()
}
