// `npm run bench`: our training steps beside composed TensorFlow.js, jax-js, nanogpt and PyTorch, in headless Chromium and, with a GPU's driver, in Node on Dawn.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { availableParallelism, loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { CommandError, ensureBrowser, ensureDependencies, ensureNode, runCommand } from '../scripts/ensure.mjs'

const USAGE = `Usage: npm run bench -- [flags]

  --quick             fewer rounds, sizes and products: under five minutes on two cores
  --rounds N          timed rounds of every contestant (default 5)
  --large             in place of the toy, a model of 100 M parameters: its steps beside PyTorch's, and what its matrix
                      products reach of the best of ours; with --quick, or on a processor, a batch of one short row
  --python PATH       interpreter that has torch, transformers and peft (default python3)
  --hosts LIST        chromium, node (default both, with --large node; node needs a driver: Vulkan on Linux)
  --adapter KIND      WebGPU in Chromium: software, or any for the machine's graphics card (default software; any with --large)
  --no-peers          our own steps alone
  --publish           also puts the results into docs/PERFORMANCE.md
  --help`

const HERE = fileURLToPath(new URL('.', import.meta.url))

/** The peers are installed here and nowhere else: nothing of the product needs them. */
function ensurePeers() {
  if (existsSync(`${HERE}node_modules/@jax-js/jax`) && existsSync(`${HERE}node_modules/webgpu`)) return
  console.log('Installing the peers of the benchmark ...')
  const { status } = spawnSync('npm', ['ci', '--ignore-scripts'], { cwd: HERE, stdio: 'inherit' })
  if (status !== 0) throw new CommandError('The peers could not be installed: a network is needed this once. Or use --no-peers.')
}

function readArguments() {
  try {
    return parseArgs({
      options: {
        quick: { type: 'boolean', default: false },
        rounds: { type: 'string', default: '5' },
        hosts: { type: 'string' },
        large: { type: 'boolean', default: false },
        python: { type: 'string', default: process.platform === 'win32' ? 'python' : 'python3' },
        adapter: { type: 'string' },
        'no-peers': { type: 'boolean', default: false },
        publish: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false }
      }
    }).values
  } catch (error) {
    throw new CommandError(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`, 2)
  }
}

await runCommand(async () => {
  const options = readArguments()
  if (options.help) return console.log(USAGE)
  const rounds = Number(options.rounds)
  if (!Number.isInteger(rounds) || rounds < 1) throw new CommandError(`--rounds takes a whole number from 1.\n\n${USAGE}`, 2)
  const adapter = options.adapter ?? (options.large ? 'any' : 'software')
  if (adapter !== 'any' && adapter !== 'software') throw new CommandError(`--adapter takes software or any.\n\n${USAGE}`, 2)
  ensureNode()
  await ensureDependencies()
  const peers = !options['no-peers']
  if (peers) ensurePeers()
  const { hasGpuDriver, openChromium, openNode } = await import('./hosts.mjs')
  const { measure } = await import('./measure.mjs')
  const { measureLarge } = await import('./large.mjs')
  const { describeLarge } = await import('./largeReport.mjs')
  const { describe, publish, save } = await import('./report.mjs')
  /** @type {Record<string, () => Promise<import('./types').Host>>} */
  const hosts = {
    chromium: async () => {
      await ensureBrowser({ quiet: true })
      return openChromium(adapter)
    },
    node: openNode
  }
  for (const name of (options.hosts ?? (options.large ? 'node' : 'chromium,node')).split(',')) {
    const open = hosts[name]
    if (!open) throw new CommandError(`There is no host "${name}": chromium or node.\n\n${USAGE}`, 2)
    if (name === 'node' && (!hasGpuDriver() || !existsSync(`${HERE}node_modules/webgpu`))) {
      console.log('Node on Dawn is left out: there is no driver of a GPU, or the peers are not installed.')
      continue
    }
    const host = await open()
    try {
      const machine = { measuredAt: new Date().toISOString(), cores: availableParallelism(), load: loadavg()[0] ?? 0, rounds }
      const { quick, python } = options
      if (options.large) {
        const part = await measureLarge(host, { quick, rounds, machine, python: peers ? python : undefined })
        console.log(`\n${describeLarge(part.adapter, part.large)}\n\nWritten to ${save(part)}`)
      } else {
        const result = { ...(await measure(host, { quick, rounds, peers })), ...machine }
        console.log(`\n${describe(result)}\n\nWritten to ${save(result)}`)
      }
    } finally {
      await host.close()
    }
  }
  if (options.publish) publish()
})
