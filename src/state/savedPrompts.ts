// Soft prompts of the library that another one can start from.
import { libraryEntries } from '../storage/library'
import { getRace } from '../storage/races'
import { modelKey } from './modelKeys'

export interface SavedPromptRow {
  /** The run. */
  id: string
  /** As `modelKeys.ts` names it. */
  model: string | undefined
  title: string
}

const HAVE_PROMPTS = ['softPrompt', 'pTuning']

/** Runs with a soft prompt that was tuned and kept, the newest race first. */
export async function savedPrompts(): Promise<SavedPromptRow[]> {
  const entries = (await libraryEntries()).filter(
    ({ methods, bytes }) => methods.some((method) => HAVE_PROMPTS.includes(method)) && bytes.best > 0
  )
  const races = new Map(
    await Promise.all([...new Set(entries.map(({ raceId }) => raceId))].map(async (id) => [id, await getRace(id)] as const))
  )
  return entries.map(({ id, raceId, name, task, updatedAt }) => {
    const source = races.get(raceId)?.request.model
    const day = new Date(updatedAt).toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })
    return { id, model: source && modelKey(source), title: `${name}, ${task}, ${day}` }
  })
}
