// What the benchmark measures on one host: steps in turn, JavaScript's share, dispatches, memory, GPU time by program, tiles and growth.
import { median } from './median.mjs'

/** @typedef {import('./types').StepSpec} StepSpec */
/** @typedef {import('./types').LlamaShape} LlamaShape */

/** @type {LlamaShape} */
const TOY = { vocabulary: 4096, hidden: 128, layers: 4, heads: 4, intermediate: 352 }
/** The embedded model, public/models/tuneground-2m. @type {LlamaShape} */
const TUNEGROUND_2M = { vocabulary: 8192, hidden: 128, layers: 4, heads: 4, intermediate: 384 }

/** @type {StepSpec} */
const TOY_STEP = { shape: TOY, batch: 4, time: 64, method: 'allWeights', labels: 'all' }
/** @type {StepSpec} */
const OWN_STEP = { shape: TUNEGROUND_2M, batch: 16, time: 48, method: 'allWeights', labels: 'last' }

/** @type {{ name: string, contestant: keyof import('./types').Contestants, spec: StepSpec }[]} */
export const STEPS = [
  { name: 'toy, all weights', contestant: 'ours', spec: TOY_STEP },
  { name: 'toy, all weights, composed TensorFlow.js', contestant: 'ours', spec: { ...TOY_STEP, form: 'composed' } },
  { name: 'toy, all weights, jax-js', contestant: 'jaxjs', spec: TOY_STEP },
  { name: 'toy, all weights, nanogpt', contestant: 'nanogpt', spec: TOY_STEP },
  { name: 'toy, LoRA', contestant: 'ours', spec: { ...TOY_STEP, method: 'lora' } },
  { name: 'toy, soft prompt, one label a row', contestant: 'ours', spec: { ...TOY_STEP, method: 'softPrompt', labels: 'last' } },
  { name: 'tuneground-2m, all weights', contestant: 'ours', spec: OWN_STEP },
  { name: 'tuneground-2m, soft prompt', contestant: 'ours', spec: { ...OWN_STEP, method: 'softPrompt' } }
]

/** @type {import('./tileSpeeds').Product[]} */
const PRODUCTS = [
  { mode: 'NT', rows: 256, columns: 768, depth: 768 },
  { mode: 'NN', rows: 256, columns: 768, depth: 768 },
  { mode: 'TN', rows: 768, columns: 768, depth: 256 },
  { mode: 'NT', rows: 768, columns: 384, depth: 128 }
]

/** @type {Record<string, { name: string, steps: { size: number, spec: StepSpec }[] }>} */
const GROWTH = {
  batch: { name: 'rows of a batch', steps: [1, 2, 4, 8, 16].map((batch) => ({ size: batch, spec: { ...TOY_STEP, batch } })) },
  length: { name: 'tokens of a row', steps: [16, 32, 64, 128, 256].map((time) => ({ size: time, spec: { ...TOY_STEP, time } })) },
  hidden: {
    name: 'hidden size',
    steps: [64, 96, 128, 192, 256].map((hidden) => ({
      size: hidden,
      spec: { ...TOY_STEP, shape: { ...TOY, hidden, intermediate: 2.75 * hidden } }
    }))
  }
}

/** Steps after which a browser has compiled what makes them: in turn with others each contestant makes too few. */
const STEPS_IN_A_ROW = 24

/** The slope of log(time) over log(size), by least squares: time grows as size to that power. @param {[number, number][]} points */
export function growthExponent(points) {
  const logs = points.map(([size, time]) => [Math.log(size), Math.log(time)])
  const mean = (/** @type {number} */ at) => logs.reduce((sum, log) => sum + (log[at] ?? 0), 0) / logs.length
  const [meanX, meanY] = [mean(0), mean(1)]
  const covariance = logs.reduce((sum, [x = 0, y = 0]) => sum + (x - meanX) * (y - meanY), 0)
  return covariance / logs.reduce((sum, [x = 0]) => sum + (x - meanX) ** 2, 0)
}

/**
 * @param {string} name @param {import('./types').StepSpec} spec @param {import('./types').StepTime[]} times @param {import('./ours').StepDetails} [details] of ours
 * @returns {import('./types').StepResult} medians
 */
export function stepResult(name, spec, times, details) {
  const milliseconds = median(times.map((time) => time.milliseconds))
  return {
    name,
    milliseconds,
    jsMilliseconds: median(times.map((time) => time.jsMilliseconds)),
    tokensPerSecond: (1000 * spec.batch * spec.time) / milliseconds,
    loss: times.at(-1)?.loss ?? NaN,
    ...(details && {
      dispatches: details.dispatches,
      residentBytes: details.residentBytes,
      peakBytes: details.peakBytes,
      bytesPerToken: (details.peakBytes - details.residentBytes) / (spec.batch * spec.time)
    })
  }
}

/**
 * Rounds in turn, so that whatever else the machine does meets all alike. A contestant that fails is left out with its reason.
 * @param {import('./types').Host} host @param {typeof STEPS} steps @param {number} rounds
 * @param {boolean} detailed also what the first step costs by program, and in JavaScript alone
 */
async function measureSteps(host, steps, rounds, detailed = false) {
  const open = []
  for (const step of steps) {
    try {
      open.push({
        ...step,
        id: await host.call(step.contestant, 'open', step.spec),
        times: /** @type {import('./types').StepTime[]} */ ([])
      })
    } catch (error) {
      console.error(`${step.name}: left out (${error instanceof Error ? error.message.split('\n')[0] : String(error)})`)
    }
  }
  // One round unmeasured: shaders are compiled, and large tiles in the background.
  for (let round = -1; round < rounds; round++) {
    for (const { contestant, id, times } of open) {
      const time = await host.call(contestant, 'step', id)
      if (round >= 0) times.push(time)
    }
  }
  /** @type {import('./types').StepResult[]} */
  const results = []
  for (const { name, contestant, spec, id, times } of open) {
    const details = contestant === 'ours' ? await host.call('ours', 'details', id) : undefined
    results.push(stepResult(name, spec, times, details))
  }
  const first = detailed && open[0]?.contestant === 'ours' ? open[0] : undefined
  const jsMilliseconds = first ? await host.call('ours', 'jsMilliseconds', first.id, STEPS_IN_A_ROW) : null
  const programs = first ? await host.call('ours', 'programs', first.id) : []
  for (const { contestant, id } of open) await host.call(contestant, 'close', id)
  return { results, jsMilliseconds, programs }
}

/**
 * @param {import('./types').Host} host @param {{ quick: boolean, rounds: number, peers: boolean }} options
 * @returns {Promise<Omit<import('./types').Result, keyof import('./types').Machine | 'large'>>}
 */
export async function measure(host, { quick, rounds, peers }) {
  const steps = STEPS.filter(({ contestant }) => contestant === 'ours' || peers)
  const { results, jsMilliseconds, programs } = await measureSteps(host, steps, rounds, true)
  const of = (/** @type {string} */ name) => results.find((result) => result.name === name)
  const full = of('toy, all weights')
  const prompt = of('toy, soft prompt, one label a row')
  const ratio = (/** @type {string} */ name) => {
    const peer = of(name)
    return peer && full ? peer.milliseconds / full.milliseconds : null
  }
  /** @type {Record<string, import('./types').Growth>} */
  const scaling = {}
  for (const [kind, { name, steps: growing }] of Object.entries(GROWTH)) {
    const chosen = quick ? growing.slice(0, 3) : growing
    const measured = await measureSteps(
      host,
      chosen.map(({ size, spec }) => ({ name: String(size), contestant: 'ours', spec })),
      quick ? 2 : rounds
    )
    const points = measured.results.map(({ name: size, milliseconds }) => /** @type {[number, number]} */ ([Number(size), milliseconds]))
    scaling[kind] = { name, exponent: growthExponent(points), points }
  }
  return {
    adapter: await host.call('ours', 'adapterName'),
    host: host.name,
    ratios: {
      composed: ratio('toy, all weights, composed TensorFlow.js'),
      jaxjs: ratio('toy, all weights, jax-js'),
      nanogpt: ratio('toy, all weights, nanogpt'),
      frozenToFull: full && prompt ? prompt.milliseconds / full.milliseconds : null
    },
    jsMillisecondsPerStep: jsMilliseconds,
    peakToResident: full?.peakBytes && full.residentBytes ? full.peakBytes / full.residentBytes : null,
    dispatches: { full: full?.dispatches ?? null, softPrompt: prompt?.dispatches ?? null },
    steps: results,
    programs: programs.slice(0, 20),
    matmul: await host.call('ours', 'tiles', quick ? PRODUCTS.slice(0, 2) : PRODUCTS, quick ? 2 : 5),
    scaling
  }
}
