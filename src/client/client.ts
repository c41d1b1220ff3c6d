// The page's only doors to the workers: their calls as promises, whose errors are `UserError`s and which never hang on a dead worker.
import * as Comlink from 'comlink'
import { UserError } from '../engine/errors'
import type { EngineApi } from '../worker/protocol'
import type { ModelSourcesApi } from '../worker/sources/protocol'

interface Closeable {
  /** Ends the worker at once; calls that are under way reject. */
  close(): void
}

export type Engine = EngineApi & Closeable
export type ModelSources = ModelSourcesApi & Closeable

interface Described {
  message: string
  advice: string
}

function isDescribed(value: unknown): value is Described {
  return typeof value === 'object' && value !== null && 'message' in value && 'advice' in value
}

function asUserError(reason: unknown): UserError {
  if (isDescribed(reason)) return new UserError(reason.message, reason.advice)
  return new UserError(reason instanceof Error ? reason.message : String(reason), 'Reload the page; saved runs are kept.')
}

/** Starts the engine's worker. Functions among a call's arguments (progress, events) are called on this side. */
export function connectEngine(): Engine {
  const worker = new Worker(new URL('../worker/worker.ts', import.meta.url), { type: 'module', name: 'engine' })
  return connect<EngineApi>(worker, 'engine', 'Reload the page; the race goes on from its last checkpoint.')
}

/** Starts the worker that fetches models, as `connectEngine` does the engine's. */
export function connectModelSources(): ModelSources {
  const worker = new Worker(new URL('../worker/sources/worker.ts', import.meta.url), { type: 'module', name: 'models' })
  return connect<ModelSourcesApi>(worker, 'download', 'Reload the page and go on: what came is kept.')
}

function connect<Api extends object>(worker: Worker, what: string, advice: string): Api & Closeable {
  const remote = Comlink.wrap<Api>(worker)
  let fail: (reason: UserError) => void = () => undefined
  const death = new Promise<never>((_, reject) => (fail = reject))
  death.catch(() => undefined)
  worker.addEventListener('error', (event) => {
    event.preventDefault()
    fail(new UserError(`The ${what} stopped (${event.message || 'it could not be loaded'}).`, advice))
  })

  const call = async (name: keyof Api, parameters: unknown[]): Promise<unknown> => {
    const passed = parameters.map((parameter) => (typeof parameter === 'function' ? Comlink.proxy(parameter as () => void) : parameter))
    const method = (remote as Api)[name] as unknown as (...parameters: unknown[]) => Promise<unknown>
    try {
      return await Promise.race([method(...passed), death])
    } catch (reason) {
      throw reason instanceof UserError ? reason : asUserError(reason)
    }
  }

  const close = (): void => {
    worker.terminate()
    fail(new UserError(`The ${what} was closed.`, 'Reload the page to start it again.'))
  }

  return new Proxy({ close } as Api & Closeable, {
    get: (target, name) => (name === 'close' ? target.close : (...parameters: unknown[]) => call(name as keyof Api, parameters))
  })
}
