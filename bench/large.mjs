// What the benchmark measures of a model of 100 M parameters: steps, how near their matrix products come to the best of ours, and PyTorch beside them.
import { stepResult } from './measure.mjs'
import { median } from './median.mjs'
import { operationsOf, parametersOf, productsOfStep } from './products.mjs'
import { measurePyTorch } from './pytorch.mjs'

/** @type {import('./types').LlamaShape} */
const SHAPE = { vocabulary: 16384, hidden: 768, layers: 12, heads: 12, intermediate: 2048 }

/** A thousand tokens keep a graphics card busy; a processor does the other in seconds. */
const SIZES = { whole: { batch: 8, time: 128 }, quick: { batch: 1, time: 64 } }

/** @type {{ name: string, method: import('./types').StepSpec['method'], options?: import('./types').StepSpec['options'] }[]} */
const METHODS = [
  { name: 'all weights', method: 'allWeights' },
  { name: 'LoRA', method: 'lora', options: { rank: 8, alpha: 16, targets: 'linear' } },
  { name: 'soft prompt', method: 'softPrompt', options: { virtualTokens: 8, start: 'random' } }
]

/** Steps until ours are replayed, and until PyTorch has its memory. */
const WARM_UP = 4

/**
 * One method after the other, since each holds a model of its own.
 * @param {import('./types').Host} host
 * @param {{ quick: boolean, rounds: number, machine: import('./types').Machine, python: string | undefined }} options `python` is the interpreter of PyTorch, undefined where it is not wanted
 * @returns {Promise<Pick<import('./types').Result, 'adapter' | 'host'> & { large: import('./types').LargeResult }>}
 */
export async function measureLarge(host, { quick, rounds, machine, python }) {
  const software = await host.call('ours', 'isSoftware')
  if (software) console.log(`${await host.call('ours', 'adapterName')} is a processor: one short row in place of a batch.`)
  const size = quick || software ? SIZES.quick : SIZES.whole
  const steps = METHODS.map(({ name, method, options }) => ({
    name,
    /** @type {import('./types').StepSpec} */
    spec: { shape: SHAPE, ...size, method, ...(options && { options }), labels: 'all', lengths: 'whole' }
  }))
  /** @type {import('./types').StepResult[]} */
  const results = []
  /** @type {number[]} */
  let matmulMilliseconds = []
  for (const { name, spec } of steps) {
    console.log(`${name}: ours ...`)
    const id = await host.call('ours', 'open', spec)
    /** @type {import('./types').StepTime[]} */
    const times = []
    for (let round = -WARM_UP; round < rounds; round++) {
      const time = await host.call('ours', 'step', id)
      if (round >= 0) times.push(time)
    }
    results.push(stepResult(name, spec, times, await host.call('ours', 'details', id)))
    if (spec.method === 'allWeights') matmulMilliseconds = await measureMatmuls(host, id, rounds)
    await host.call('ours', 'close', id)
  }
  const products = productsOfStep({ shape: SHAPE, ...size })
  console.log('matrix products by tile ...')
  const matmul = await host.call('ours', 'tiles', products, quick ? 2 : rounds)
  const gigaflops = matmulMilliseconds.length > 0 ? operationsOf(products) / median(matmulMilliseconds) / 1e6 : null
  const best = matmul.length > 0 ? Math.max(...matmul.flatMap(({ tiles }) => Object.values(tiles))) : null
  if (python !== undefined) console.log('PyTorch ...')
  const pytorch = python === undefined ? undefined : await measurePyTorch(python, { steps, rounds, warmUp: WARM_UP }, results)
  return {
    adapter: await host.call('ours', 'adapterName'),
    host: host.name,
    large: {
      ...machine,
      host: host.name,
      software,
      shape: SHAPE,
      ...size,
      parameters: parametersOf(SHAPE),
      steps: results,
      matmulGigaflops: gigaflops,
      bestGigaflops: best,
      matmulShareOfPeak: gigaflops !== null && best !== null ? gigaflops / best : null,
      matmul,
      ...(pytorch && { pytorch })
    }
  }
}

/** GPU time of all matrix products of a step, by step; none where the device has no timestamps. @param {import('./types').Host} host @param {number} id @param {number} rounds */
async function measureMatmuls(host, id, rounds) {
  const times = []
  for (let round = 0; round < rounds; round++) {
    const programs = await host.call('ours', 'programs', id)
    const products = programs.filter(({ program }) => program.startsWith('matmul'))
    if (products.length > 0) times.push(products.reduce((sum, { milliseconds }) => sum + milliseconds, 0))
  }
  return times
}
