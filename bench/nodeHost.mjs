// A child process of the benchmark: one contestant in Node, on the GPU that Dawn finds; answers one call at a time.
import { basename } from 'node:path'
import { pathToFileURL } from 'node:url'

/** @typedef {Record<string, (...parameters: unknown[]) => unknown>} Methods */
/** @typedef {{ id: number, method: string, parameters: unknown[] }} Call */

/** The peers map, filter and reduce iterators, which Node does by itself from version 22 on. */
function provideIteratorHelpers() {
  const iterators = /** @type {Record<string, unknown>} */ (Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]())))
  /** @this {Iterable<unknown>} @param {(value: unknown) => unknown} change */
  iterators.map ??= function* (change) {
    for (const value of this) yield change(value)
  }
  /** @this {Iterable<unknown>} @param {(value: unknown) => boolean} isKept */
  iterators.filter ??= function* (isKept) {
    for (const value of this) if (isKept(value)) yield value
  }
  /** @this {Iterable<unknown>} */
  iterators.toArray ??= function () {
    return [...this]
  }
  /** @this {Iterable<unknown>} @param {(sum: unknown, value: unknown) => unknown} add @param {unknown} initial */
  iterators.reduce ??= function (add, initial) {
    return [...this].reduce(add, initial)
  }
}

/** What a browser has and Node does not: WebGPU. */
async function provideWebGpu() {
  // By a name that no type is looked up for: it is installed by the benchmark alone.
  const name = 'webgpu'
  const { create, globals } = /** @type {{ create: (flags: string[]) => GPU, globals: object }} */ (await import(name))
  Object.assign(globalThis, globals)
  // Timestamps as they are: rounded to 65 microseconds, as for pages, they hide what a graphics card does in less.
  const navigator = { gpu: create(['disable-dawn-features=timestamp_quantization']), userAgent: 'Node', hardwareConcurrency: 1 }
  Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true })
}

const file = process.argv[2] ?? ''
/** What makes the contestant, by the name of its module. */
const MAKERS = /** @type {Record<string, string>} */ ({ ours: 'ours', jaxjs: 'jaxJs', nanogpt: 'nanoGpt' })

/** @returns {Promise<Methods>} */
async function make() {
  const name = basename(file, '.mjs')
  // nanogpt brings a TensorFlow.js without its parts for Node: it runs where it takes itself to be in a worker of a browser.
  if (name === 'nanogpt') Object.assign(globalThis, { WorkerGlobalScope: Object, self: globalThis })
  const module = /** @type {Record<string, () => Promise<Methods>>} */ (await import(pathToFileURL(file).href))
  const maker = module[MAKERS[name] ?? '']
  if (!maker) throw new Error(`${name} does not run in Node.`)
  return maker()
}

/** @type {Promise<Methods> | undefined} */
let contestant

/** @param {Call} call */
async function answer({ id, method, parameters }) {
  try {
    contestant ??= make()
    process.send?.({ id, value: await (await contestant)[method]?.(...parameters) })
  } catch (error) {
    process.send?.({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }
}

provideIteratorHelpers()
await provideWebGpu()
process.on('message', (message) => void answer(/** @type {Call} */ (message)))
