// The page's only door to the worker: the engine's calls as promises, whose errors are `UserError`s and which never hang on a dead worker.
import * as Comlink from 'comlink'
import { UserError } from '../engine/errors'
import type { EngineApi } from '../worker/protocol'

export interface Engine extends EngineApi {
  /** Ends the worker at once; calls that are under way reject. */
  close(): void
}

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

/** Starts a worker and returns its engine. Functions among the arguments (progress, events) are called on this side. */
export function connectEngine(): Engine {
  const worker = new Worker(new URL('../worker/worker.ts', import.meta.url), { type: 'module', name: 'engine' })
  const remote = Comlink.wrap<EngineApi>(worker)
  let fail: (reason: UserError) => void = () => undefined
  const death = new Promise<never>((_, reject) => (fail = reject))
  death.catch(() => undefined)
  worker.addEventListener('error', (event) => {
    event.preventDefault()
    fail(
      new UserError(
        `The engine stopped (${event.message || 'it could not be loaded'}).`,
        'Reload the page; the race goes on from its last checkpoint.'
      )
    )
  })

  const call = async (name: keyof EngineApi, parameters: unknown[]): Promise<unknown> => {
    const passed = parameters.map((parameter) => (typeof parameter === 'function' ? Comlink.proxy(parameter as () => void) : parameter))
    const method = remote[name] as unknown as (...parameters: unknown[]) => Promise<unknown>
    try {
      return await Promise.race([method(...passed), death])
    } catch (reason) {
      throw reason instanceof UserError ? reason : asUserError(reason)
    }
  }

  const close = (): void => {
    worker.terminate()
    fail(new UserError('The engine was closed.', 'Reload the page to start it again.'))
  }

  return new Proxy({ close } as Engine, {
    get: (target, name) => (name === 'close' ? target.close : (...parameters: unknown[]) => call(name as keyof EngineApi, parameters))
  })
}
