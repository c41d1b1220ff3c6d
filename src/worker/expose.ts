// Puts an object of calls behind Comlink; its errors cross as `{ message, advice }`, since structured clones of errors lose the advice.
import * as Comlink from 'comlink'
import { describeError } from '../engine/errors'

export function exposeCalls(session: object): void {
  const described = new Proxy(session, {
    get: (target, name) => {
      const member = (target as Record<PropertyKey, unknown>)[name]
      if (typeof member !== 'function') return member
      return async (...parameters: unknown[]) => {
        try {
          return (await member.apply(target, parameters)) as unknown
        } catch (error) {
          throw describeError(error)
        }
      }
    }
  })
  Comlink.expose(described)
}
