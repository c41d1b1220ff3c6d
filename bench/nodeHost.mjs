// The child process of the benchmark: contestants in Node, on the GPU that Dawn finds; answers one call at a time.
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

/** @typedef {Record<string, (...parameters: unknown[]) => unknown>} Methods */
/** @typedef {{ id: number, contestant: string, method: string, parameters: unknown[] }} Call */

/** jax-js maps and filters iterators, which Node does by itself from version 22 on. */
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
}

/** What a browser has and Node does not: WebGPU. */
async function provideWebGpu() {
  // By a name that no type is looked up for: it is installed by the benchmark alone.
  const name = 'webgpu'
  const { create, globals } = /** @type {{ create: (flags: string[]) => GPU, globals: object }} */ (await import(name))
  Object.assign(globalThis, globals)
  const navigator = { gpu: create([]), userAgent: 'Node', hardwareConcurrency: 1 }
  Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true })
}

const folder = process.argv[2] ?? ''
/** @type {Record<string, string>} */
const makers = { ours: 'ours', jaxjs: 'jaxJs' }
/** @type {Map<string, Promise<Methods>>} */
const contestants = new Map()

/** @param {string} name @returns {Promise<Methods>} */
async function make(name) {
  const module = /** @type {Record<string, () => Promise<Methods>>} */ (await import(pathToFileURL(join(folder, `${name}.mjs`)).href))
  const maker = module[makers[name] ?? '']
  if (!maker) throw new Error(`${name} does not run in Node.`)
  return maker()
}

/** @param {Call} call */
async function answer({ id, contestant, method, parameters }) {
  try {
    const made = contestants.get(contestant) ?? make(contestant)
    contestants.set(contestant, made)
    process.send?.({ id, value: await (await made)[method]?.(...parameters) })
  } catch (error) {
    process.send?.({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }
}

provideIteratorHelpers()
await provideWebGpu()
process.on('message', (message) => void answer(/** @type {Call} */ (message)))
