// The prompt lab's tries and drafts, by the model and the task that they belong to.
import { createStore, del, get, promisifyRequest, set } from 'idb-keyval'
import type { HandwrittenPrompt } from '../tasks/handwritten'
import type { PromptScore } from '../worker/labCalls'
import { assertStorageAllowed } from './locks'
import { withRoom } from './quota'

/** A prompt with its score on the validation split. */
export interface PromptTry {
  /** The same prompt has the same id, so that trying it again replaces its score. */
  id: string
  prompt: HandwrittenPrompt
  score: PromptScore
  /** Milliseconds since 1970. */
  triedAt: number
  /** Chosen by the person, for what the numbers do not say. */
  marked: boolean
}

const store = createStore('tuneground-lab', 'tries')

const tryKey = (place: string, id: string) => ['try', place, id]
const draftKey = (place: string) => ['draft', place]

/** All tries at a place (a model and a task), in no order. */
export async function loadTries(place: string): Promise<PromptTry[]> {
  assertStorageAllowed()
  return store('readonly', (records) =>
    promisifyRequest<PromptTry[]>(records.getAll(IDBKeyRange.bound(['try', place], ['try', place, []])))
  )
}

/** Keeps a try in place of the one with its id. @throws UserError where there is no room */
export async function saveTry(place: string, entry: PromptTry): Promise<void> {
  assertStorageAllowed()
  await withRoom(() => set(tryKey(place, entry.id), entry, store))
}

export async function deleteTry(place: string, id: string): Promise<void> {
  await del(tryKey(place, id), store)
}

/** The prompt as it was left in the editor; undefined where none was. */
export async function loadDraft(place: string): Promise<HandwrittenPrompt | undefined> {
  assertStorageAllowed()
  return get<HandwrittenPrompt>(draftKey(place), store)
}

/** @throws UserError where there is no room */
export async function saveDraft(place: string, prompt: HandwrittenPrompt): Promise<void> {
  await withRoom(() => set(draftKey(place), prompt, store))
}
