// The soft prompts of the library that the runs of a race start from.
import { UserError } from '../engine/errors'
import type { SavedPrompt } from '../engine/methods/method'
import { lengthNote, savedPromptOf, savedRunsOf } from '../engine/methods/savedPrompt'
import type { StoredCheckpoints } from '../engine/training/run'
import { loadCheckpoint } from '../storage/checkpoints'
import { getRun } from '../storage/runs'
import type { RaceEvent, RunRequest } from './protocol'

/**
 * By the id of their run. A run that goes on from a checkpoint needs its start no more: where that was deleted since, its own prompt stands for it.
 * @throws UserError where a start was deleted, has no stored weights or is no soft prompt
 */
export async function savedPrompts(
  runs: readonly RunRequest[],
  checkpoints: ReadonlyMap<string, StoredCheckpoints>
): Promise<Map<string, SavedPrompt>> {
  const prompts = new Map<string, SavedPrompt>()
  for (const { id, recipe } of runs) {
    for (const from of savedRunsOf(recipe)) {
      if (prompts.has(from)) continue
      const own = checkpoints.get(id)?.last
      const stored = await getRun(from)
      const prompt = stored ? await promptOf(from, stored.name) : own && savedPromptOf(recipe.parts[0]!.method, own.tensors)
      if (!prompt) throw new UserError('The prompt to start from is no longer in the library.', 'Choose another run, or another start.')
      prompts.set(from, prompt)
    }
  }
  return prompts
}

/** What is told of runs that have another number of virtual tokens than the prompt they start from. */
export function lengthProblems(runs: readonly RunRequest[], saved: ReadonlyMap<string, SavedPrompt>): RaceEvent[] {
  return runs.flatMap(({ id, recipe }): RaceEvent[] => {
    const message = lengthNote(recipe, saved)
    return message ? [{ type: 'problem', run: id, message, advice: 'Set its number of virtual tokens to that of the saved prompt.' }] : []
  })
}

/** The soft prompt of a stored run, at its best. Throws a `UserError` where it has none. */
export async function promptOf(runId: string, name: string): Promise<SavedPrompt> {
  const checkpoint = await loadCheckpoint(runId, 'best')
  if (!checkpoint) throw new UserError(`${name} has no stored weights.`, 'It was stopped before its first validation; start it again.')
  const prompt = savedPromptOf(name, checkpoint.tensors)
  if (!prompt) throw new UserError(`${name} has no soft prompt.`, 'Choose a run that tuned a soft prompt, or P-tuning.')
  return prompt
}
