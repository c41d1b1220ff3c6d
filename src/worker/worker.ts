// The worker's entry: one engine session behind Comlink, whose errors cross as `{ message, advice }`.
import * as Comlink from 'comlink'
import { describeError } from '../engine/errors'
import { EngineSession } from './session'
import type { EngineApi } from './protocol'

const session = new EngineSession()

Comlink.expose(
  new Proxy(session, {
    get: (target, name) => {
      const member = (target as unknown as Record<PropertyKey, unknown>)[name]
      if (typeof member !== 'function') return member
      return async (...parameters: unknown[]) => {
        try {
          return (await member.apply(target, parameters)) as unknown
        } catch (error) {
          throw describeError(error)
        }
      }
    }
  }) as EngineApi
)
