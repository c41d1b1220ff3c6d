// The same run with several seeds, and what they are together.
import type { RunRequest } from './events'
import type { Recipe } from './recipe'

/**
 * Each run once for each of `count` seeds that follow its own: "Soft prompt (seed 2)". Runs that train nothing stay as they are, as chance has no part
 * in them. With one seed nothing changes.
 * @param newId gives a new id for a run
 */
export function withSeeds(
  runs: readonly RunRequest[],
  count: number,
  newId: () => string,
  trains: (recipe: Recipe) => boolean
): RunRequest[] {
  return runs.flatMap((run) => {
    if (count <= 1 || !trains(run.recipe)) return [run]
    return Array.from({ length: count }, (_, i) => {
      const seed = run.recipe.seed + i
      return { ...run, id: i === 0 ? run.id : newId(), name: `${run.name} (seed ${seed})`, recipe: { ...run.recipe, seed } }
    })
  })
}

/** Runs whose recipes differ in nothing but the seed, together, in the order of the first of each. */
export function groupedBySeed<T>(runs: readonly T[], recipeOf: (run: T) => Recipe): T[][] {
  const groups = new Map<string, T[]>()
  for (const run of runs) {
    const key = JSON.stringify({ ...recipeOf(run), seed: 0 })
    const group = groups.get(key)
    if (group) group.push(run)
    else groups.set(key, [run])
  }
  return [...groups.values()]
}

/** The name of a group of runs: theirs without the seed. */
export const nameWithoutSeed = (name: string): string => name.replace(/ \(seed \d+\)$/, '')

export interface Spread {
  mean: number
  /** Sample standard deviation (n - 1); 0 of a single value. */
  deviation: number
  count: number
}

/** Mean and sample standard deviation of values of the same quantity, of which there is at least one. */
export function spreadOf(values: readonly number[]): Spread {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  return { mean, deviation: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0, count: values.length }
}
