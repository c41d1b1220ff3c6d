// jax-js as a contestant: the same Llama as one jitted function from weights to new weights, with Adam, as its own users write it.
import { defaultDevice, init, jit, nn, numpy as np, valueAndGrad } from '@jax-js/jax'

const EPSILON = 1e-5
const THETA = 10000

/** @param {number} seed @returns {() => number} uniform numbers in [0, 1) */
function randomNumbers(seed) {
  let state = seed
  return () => (state = (state * 1103515245 + 12345) % 2147483648) / 2147483648
}

/** @param {import('../types').LlamaShape} shape @returns {Record<string, np.Array>} by Hugging Face names */
function makeWeights({ vocabulary, hidden, layers, intermediate }) {
  const random = randomNumbers(1)
  const weights = {}
  const add = (name, sides, around = 0) => {
    const size = sides.reduce((product, side) => product * side, 1)
    weights[name] = np.array(Float32Array.from({ length: size }, () => around + 0.04 * (random() - 0.5))).reshape(sides)
  }
  add('embed', [vocabulary, hidden])
  for (let layer = 0; layer < layers; layer++) {
    add(`${layer}.inputNorm`, [hidden], 1)
    add(`${layer}.mlpNorm`, [hidden], 1)
    for (const name of ['query', 'key', 'value', 'output']) add(`${layer}.${name}`, [hidden, hidden])
    for (const name of ['gate', 'up']) add(`${layer}.${name}`, [intermediate, hidden])
    add(`${layer}.down`, [hidden, intermediate])
  }
  add('norm', [hidden], 1)
  return weights
}

function rotaryTables(time, headSize) {
  const cosines = new Float32Array(time * headSize)
  const sines = new Float32Array(time * headSize)
  for (let t = 0; t < time; t++) {
    for (let i = 0; i < headSize; i++) {
      const angle = t / THETA ** ((2 * (i % (headSize / 2))) / headSize)
      cosines[t * headSize + i] = Math.cos(angle)
      sines[t * headSize + i] = Math.sin(angle)
    }
  }
  return [cosines, sines].map((table) => np.array(table).reshape([1, time, 1, headSize]))
}

const rmsNorm = (x, weight) => {
  const meanSquare = np.mean(np.square(x.ref), -1, { keepdims: true })
  return x.div(np.sqrt(meanSquare.add(EPSILON))).mul(weight)
}
const linear = (x, weight) => np.matmul(x, weight.transpose())
const rotate = (x, cosines, sines) => {
  const [first, second] = np.split(x.ref, 2, -1)
  return x.mul(cosines).add(np.concatenate([second.neg(), first], -1).mul(sines))
}

/** Cross entropy at every token, weighted. jax-js counts references: `.ref` keeps a value for another use. */
function makeLoss({ shape: { vocabulary, hidden, layers, heads }, batch, time }) {
  const headSize = hidden / heads
  const toHeads = (x) => x.reshape([batch, time, heads, headSize])
  return (weights, ids, lengths, cosines, sines, targets, targetWeights) => {
    let x = np.take(weights.embed.ref, ids, 0)
    for (let layer = 0; layer < layers; layer++) {
      const of = (name) => weights[`${layer}.${name}`]
      const input = rmsNorm(x.ref, of('inputNorm'))
      const query = rotate(toHeads(linear(input.ref, of('query'))), cosines.ref, sines.ref)
      const key = rotate(toHeads(linear(input.ref, of('key'))), cosines.ref, sines.ref)
      const value = toHeads(linear(input, of('value')))
      const seen = nn.dotProductAttention(query, key, value, { isCausal: true, keyValueSeqLengths: lengths.ref })
      x = x.add(linear(seen.reshape([batch * time, hidden]), of('output')))
      const between = rmsNorm(x.ref, of('mlpNorm'))
      x = x.add(linear(nn.silu(linear(between.ref, of('gate'))).mul(linear(between, of('up'))), of('down')))
    }
    for (const table of [cosines, sines, lengths]) table.dispose()
    const logits = linear(rmsNorm(x, weights.norm), weights.embed)
    const normalizer = nn.logsumexp(logits.ref, -1)
    const picked = np.sum(logits.mul(nn.oneHot(targets, vocabulary)), -1)
    return np.sum(normalizer.sub(picked).mul(targetWeights))
  }
}

/** One jitted step of Adam; `corrections` are its two bias corrections. */
function makeStep(spec) {
  const lossAndGradients = valueAndGrad(makeLoss(spec))
  return jit((weights, first, second, corrections, ...data) => {
    const kept = Object.fromEntries(Object.entries(weights).map(([name, weight]) => [name, weight.ref]))
    const [loss, gradients] = lossAndGradients(kept, ...data)
    const newWeights = {}
    const newFirst = {}
    const newSecond = {}
    for (const [name, gradient] of Object.entries(gradients)) {
      const mean = first[name].mul(0.9).add(gradient.ref.mul(0.1))
      const square = second[name].mul(0.999).add(np.square(gradient).mul(0.001))
      newFirst[name] = mean
      newSecond[name] = square
      const direction = mean.ref.mul(corrections.ref.slice(0)).div(np.sqrt(square.ref.mul(corrections.ref.slice(1))).add(1e-8))
      newWeights[name] = weights[name].sub(direction.mul(1e-3))
    }
    corrections.dispose()
    return [loss, newWeights, newFirst, newSecond]
  })
}

/** @returns {Promise<import('../types').Contestant>} */
export async function jaxJs() {
  const devices = await init('webgpu')
  if (!devices.includes('webgpu')) throw new Error('jax-js found no WebGPU.')
  defaultDevice('webgpu')
  const opened = []
  return {
    async open(spec) {
      const random = randomNumbers(2)
      const rows = spec.batch * spec.time
      const lengths = Int32Array.from({ length: spec.batch }, () => Math.floor(spec.time * (0.5 + random() / 2)))
      const token = () => Math.floor(random() * spec.shape.vocabulary)
      const counted = Float32Array.from({ length: rows }, (_, at) => (at % spec.time < lengths[Math.floor(at / spec.time)] ? 1 : 0))
      const total = counted.reduce((sum, weight) => sum + weight, 0)
      const data = [
        np.array(Int32Array.from({ length: rows }, token)),
        np.array(lengths),
        ...rotaryTables(spec.time, spec.shape.hidden / spec.shape.heads),
        np.array(Int32Array.from({ length: rows }, token)),
        np.array(counted.map((weight) => weight / total))
      ]
      const weights = makeWeights(spec.shape)
      const zeros = () => Object.fromEntries(Object.entries(weights).map(([name, weight]) => [name, np.zeros(weight.shape)]))
      return opened.push({ data, run: makeStep(spec), state: [weights, zeros(), zeros()], steps: 0 }) - 1
    },
    async step(id) {
      const job = opened[id]
      job.steps++
      const corrections = np.array(Float32Array.of(1 / (1 - 0.9 ** job.steps), 1 / (1 - 0.999 ** job.steps)))
      const started = performance.now()
      const [loss, ...state] = job.run(...job.state, corrections, ...job.data.map((array) => array.ref))
      job.state = state
      const jsMilliseconds = performance.now() - started
      const [value] = await loss.data()
      return { milliseconds: performance.now() - started, jsMilliseconds, loss: value }
    },
    close(id) {
      const { data, state } = opened[id]
      for (const array of [...data, ...state.flatMap((named) => Object.values(named))]) array.dispose()
      opened[id] = undefined
    }
  }
}
