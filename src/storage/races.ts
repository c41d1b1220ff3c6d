// Races in the library: what was asked for and how far it came.
import { UserError } from '../engine/errors'
import type { RacePhase, RaceRequest } from '../worker/protocol'
import { deleteCheckpoints } from './checkpoints'
import { ownedRaces, withRaceLock } from './locks'
import { withRoom } from './quota'
import type { StoredRace } from './records'
import { changeLibrary, readLibrary } from './stores'
import type { Records } from './stores'
import { checkName } from './names'

/**
 * Stores a race and its runs, before the first checkpoint. A race that is stored already is returned as it is.
 * @throws UserError where there is no room
 */
export async function createRace(request: RaceRequest, phase: RacePhase = 'preparing', device?: StoredRace['device']): Promise<StoredRace> {
  return withRoom(() =>
    changeLibrary(async (records) => {
      const stored = await records.get('race', request.id)
      if (stored) return stored
      const now = Date.now()
      const race: StoredRace = {
        id: request.id,
        name: request.name,
        request,
        phase,
        ...(device && { device }),
        createdAt: now,
        updatedAt: now
      }
      records.put('race', race.id, race)
      for (const run of request.runs) {
        if (await records.get('run', run.id)) throw new Error(`A run with the id ${run.id} is stored already.`)
        records.put('run', run.id, { id: run.id, raceId: race.id, name: run.name, request: run, createdAt: now, updatedAt: now })
        records.put('details', run.id, { curve: { steps: [], validation: [] } })
      }
      return race
    })
  )
}

export async function getRace(id: string): Promise<StoredRace | undefined> {
  return readLibrary((records) => records.get('race', id))
}

/** All races, the newest first. */
export async function listRaces(): Promise<StoredRace[]> {
  return newestFirst(await readLibrary((records) => records.all('race')))
}

/** @throws UserError where the race was deleted, or the name is not one */
export async function updateRace(id: string, change: { name?: string; phase?: RacePhase }): Promise<StoredRace> {
  if (change.name !== undefined) checkName(change.name)
  return withRoom(() =>
    changeLibrary(async (records) => {
      const race = await existingRace(records, id)
      const name = change.name ?? race.name
      const updated: StoredRace = { ...race, ...change, request: { ...race.request, name }, updatedAt: Date.now() }
      records.put('race', id, updated)
      return updated
    })
  )
}

/**
 * Deletes a race with its runs and all their checkpoints.
 * @throws UserError while the race goes on somewhere
 */
export async function deleteRace(id: string): Promise<void> {
  await withRaceLock(id, async () => {
    const race = await getRace(id)
    if (!race) return
    // Records last: a kill in between leaves a race that can be deleted again, not bytes that nobody sees.
    for (const run of race.request.runs) await deleteCheckpoints(run.id)
    await changeLibrary(async (records) => {
      records.delete('race', id)
      for (const run of race.request.runs) {
        records.delete('run', run.id)
        records.delete('details', run.id)
      }
    })
  })
}

/** The newest race that was neither finished nor given up, and that no tab is at now: what a reload goes on with. */
export async function unfinishedRace(): Promise<StoredRace | undefined> {
  const owned = await ownedRaces()
  return (await listRaces()).find((race) => race.phase !== 'finished' && race.phase !== 'failed' && !owned.has(race.id))
}

/** @throws UserError where it was deleted, as another tab may do at any time */
export async function existingRace(records: Records, id: string): Promise<StoredRace> {
  const race = await records.get('race', id)
  if (!race) throw new UserError('This race is no longer in the library.', 'It was deleted, perhaps in another tab; start a new one.')
  return race
}

export function newestFirst(races: StoredRace[]): StoredRace[] {
  return races.sort((a, b) => b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1))
}
