// Soft prompts of other runs as starts: which a recipe asks for, what a run's tensors are as one, and what is odd about the two.
import { applyNetwork } from '../formats/hostNetwork'
import type { StoredTensors } from '../training/checkpoint'
import type { Recipe } from '../training/recipe'
import type { SavedPrompt } from './method'
import { promptNetwork } from './pTuning'
import { getMethod, optionsOf } from './registry'

/** Ids of the runs whose prompts a recipe starts from. */
export function savedRunsOf({ parts }: Pick<Recipe, 'parts'>): string[] {
  return parts.flatMap(({ method, options: { start, savedRun } }) =>
    getMethod(method).id === 'softPrompt' && start === 'saved' && typeof savedRun === 'string' && savedRun !== '' ? [savedRun] : []
  )
}

/** The soft prompt among a run's trained tensors, or the one that its P-tuning network makes; undefined where it has none. */
export function savedPromptOf(name: string, tensors: StoredTensors): SavedPrompt | undefined {
  const prompt = tensors.virtualTokens ?? (tensors[promptNetwork.embedding] && applyNetwork(promptNetwork, tensors))
  if (!prompt || prompt.shape.length !== 2) return undefined
  return { name, shape: prompt.shape as [number, number], data: prompt.data }
}

/** What happens to a saved prompt that is longer or shorter than the one that starts from it, in words; undefined where they are alike. */
export function lengthNote({ parts }: Pick<Recipe, 'parts'>, saved: ReadonlyMap<string, SavedPrompt>): string | undefined {
  for (const { method, options } of parts) {
    if (method !== 'softPrompt' || options.start !== 'saved') continue
    const prompt = saved.get(options.savedRun as string)
    const wanted = optionsOf(getMethod(method), options).virtualTokens as number
    if (!prompt || prompt.shape[0] === wanted) continue
    const fate = prompt.shape[0] > wanted ? 'only the first of them are taken' : 'they are repeated'
    return `The prompt of "${prompt.name}" has ${prompt.shape[0]} virtual tokens, and this run has ${wanted}: ${fate}.`
  }
  return undefined
}
