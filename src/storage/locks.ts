// Locks that all tabs and workers of this site share; the browser frees them when their holder closes or is killed.
import { UserError } from '../engine/errors'

/** @throws UserError where the browser keeps its storage from the page, as it does over plain http */
export function assertStorageAllowed(): void {
  if (isSecureContext) return
  throw new UserError(
    'The browser does not let this page keep anything, because it was not opened over https or localhost.',
    'Open it by an address that begins with https:// or http://localhost.'
  )
}

/** Runs `work` once the lock is free: many at once where shared, one where exclusive. Not to be nested with the same name. */
export async function withLock<T>(name: string, mode: LockMode, work: () => Promise<T>): Promise<T> {
  assertStorageAllowed()
  return await navigator.locks.request(name, { mode }, work)
}

/** Runs `work` alone, or `otherwise` at once where someone holds the lock. */
export async function withLockIfFree<T>(name: string, work: () => Promise<T>, otherwise: () => T): Promise<T> {
  assertStorageAllowed()
  return await navigator.locks.request(name, { ifAvailable: true }, async (lock) => (lock ? await work() : otherwise()))
}

const raceLockPrefix = 'tuneground-race/'

/**
 * Runs `work` as the only one, in all tabs, that advances, changes or deletes this race.
 * @throws UserError where another tab (or this one) is at it already
 */
export function withRaceLock<T>(raceId: string, work: () => Promise<T>): Promise<T> {
  return withLockIfFree(raceLockPrefix + raceId, work, () => {
    throw new UserError('This race is going on already, here or in another tab.', 'Stop it there or close that tab, then try again.')
  })
}

/** Ids of the races that some tab owns now. */
export async function ownedRaces(): Promise<Set<string>> {
  assertStorageAllowed()
  const { held = [] } = await navigator.locks.query()
  const names = held.map((lock) => lock.name ?? '')
  return new Set(names.filter((name) => name.startsWith(raceLockPrefix)).map((name) => name.slice(raceLockPrefix.length)))
}
