// What repeats of a race's runs tell in words: mean and spread over seeds, and what a start gains over random numbers.
import { groupedBySeed, nameWithoutSeed, spreadOf } from '../engine/training/seeds'
import { startGain } from '../engine/training/startGain'
import type { RunRequest } from '../worker/protocol'
import type { RunState } from './raceFold'
import { score, scoreName } from './score'
import type { VerdictRun } from './verdict'

export interface Sentence {
  /** A name with which the text begins, to be set in the colour of the run at `place`. */
  name: string
  text: string
  place: number
}

const requestOf = (run: RunState, requests: readonly RunRequest[]): RunRequest['recipe'] | undefined =>
  requests.find(({ id }) => id === run.id)?.recipe

/** Runs of the same recipe under several seeds, the first of each first. */
export function seedGroups(runs: readonly RunState[], requests: readonly RunRequest[]): RunState[][] {
  const known = runs.flatMap((run) => {
    const recipe = requestOf(run, requests)
    return recipe ? [{ run, recipe }] : []
  })
  return groupedBySeed(known, ({ recipe }) => recipe).map((group) => group.map(({ run }) => run))
}

/** One sentence for each method that was tuned with several seeds. */
export function seedSentences(runs: readonly (RunState & VerdictRun)[], requests: readonly RunRequest[]): Sentence[] {
  return (seedGroups(runs, requests) as (RunState & VerdictRun)[][]).flatMap((group) => {
    const [first] = group
    if (!first || group.length < 2) return []
    const { mean, deviation, count } = spreadOf(group.map(({ result }) => score(result)))
    const name = nameWithoutSeed(first.name)
    const text = `${name} over ${count} seeds: ${mean.toFixed(2)} ± ${deviation.toFixed(2)} ${scoreName(first.result)} (mean and standard deviation).`
    return [{ name, text, place: first.place }]
  })
}

/** One sentence for each run that has the same run from random numbers beside it. */
export function startSentences(runs: readonly RunState[], requests: readonly RunRequest[]): Sentence[] {
  return runs.flatMap((run) => {
    const recipe = requestOf(run, requests)
    const start = recipe?.parts[0]?.options.start
    if (!recipe || start === undefined || start === 'random' || recipe.parts.length > 1) return []
    const twin = runs.find((other) => isTwin(requestOf(other, requests), recipe))
    if (!twin || twin.curves.validationLoss.length === 0 || run.curves.validationLoss.length === 0) return []
    const { loss, steps } = startGain(validated(twin), validated(run))
    const random = steps.reference === undefined ? 'never' : `after ${Math.round(steps.reference)} steps`
    const own = steps.start === undefined ? 'did not reach' : 'reached'
    const when = steps.start === undefined ? '' : ` after ${Math.round(steps.start)} steps`
    return [
      {
        name: run.name,
        text: `${run.name} ${own} a validation loss of ${loss.toFixed(2)}${when}; from random numbers, ${random}.`,
        place: run.place
      }
    ]
  })
}

/** Whether a recipe is the other one but for a random start. */
function isTwin(candidate: RunRequest['recipe'] | undefined, recipe: RunRequest['recipe']): boolean {
  const [part] = recipe.parts
  const [other] = candidate?.parts ?? []
  return (
    candidate?.parts.length === 1 && candidate.seed === recipe.seed && other?.method === part?.method && other?.options.start === 'random'
  )
}

function validated({ curves: { validationLoss } }: RunState): { validation: { step: number; loss: number }[] } {
  return { validation: Array.from(validationLoss.x, (step, i) => ({ step, loss: validationLoss.y[i] ?? NaN })) }
}
