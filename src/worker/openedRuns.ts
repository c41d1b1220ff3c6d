// Runs of the library that can answer: their best tensors, checked against the model that they claim to belong to.
import { UserError } from '../engine/errors'
import type { BaseShape } from '../engine/methods/method'
import { getMethod } from '../engine/methods/registry'
import { trainedShapes } from '../engine/methods/trained'
import type { Recipe } from '../engine/training/recipe'
import { loadCheckpoint } from '../storage/checkpoints'
import { getRace } from '../storage/races'
import type { StoredTensors } from '../storage/records'
import { getRun } from '../storage/runs'
import { labelCount, type Task } from '../tasks/task'
import type { LoadedModel } from './models'
import type { ModelSource, TaskSource } from './protocol'
import type { LoadedTask } from './tasks'

/** What a run id answers with: the task that it learnt, where that comes from, its recipe and its best tensors in host memory. */
export interface OpenedRun {
  task: Task
  source: TaskSource
  recipe: Recipe
  tensors: StoredTensors
}

/** False for a hand-written prompt alone. */
export const trains = ({ parts }: Recipe): boolean => parts.some(({ method }) => getMethod(method).trains)

/** Where a run's model and task come from; both stay loaded. */
export interface Loaders {
  useModel(source: ModelSource): Promise<LoadedModel>
  useTask(source: TaskSource): Promise<LoadedTask>
}

/** A stored run, ready to answer. Throws a `UserError` where it was deleted, holds no weights or holds those of another model. */
export async function openRun(runId: string, { useModel, useTask }: Loaders): Promise<OpenedRun> {
  const run = await getRun(runId)
  const race = run && (await getRace(run.raceId))
  if (!run || !race) throw new UserError('This run is no longer in the library.', 'It was deleted, perhaps in another tab.')
  const { recipe } = run.request
  const checkpoint = await loadCheckpoint(runId, 'best')
  if (trains(recipe) && !checkpoint) {
    throw new UserError(`${run.name} has no stored weights.`, 'It was stopped before its first validation; start it again.')
  }
  const model = await useModel(race.request.model)
  const { task } = (await useTask(race.request.task)).data
  const tensors = checkpoint?.tensors ?? {}
  assertTensorsFit(model.decoder, task, recipe, tensors)
  return { task, source: race.request.task, recipe, tensors }
}

/** Throws a `UserError` where stored tensors are not those that the recipe trains on this model: an archive may say one thing and hold another. */
export function assertTensorsFit({ config, layout }: BaseShape, task: Task, recipe: Recipe, tensors: StoredTensors): void {
  const shapes = trainedShapes(recipe.parts, { config, layout, labels: labelCount(task) })
  const describe = (byName: Record<string, readonly number[]>): string =>
    Object.entries(byName)
      .map(([name, shape]) => `${name}:${shape.join('x')}`)
      .sort()
      .join()
  const stored = Object.fromEntries(Object.entries(tensors).map(([name, { shape }]) => [name, shape]))
  if (describe(shapes) === describe(stored)) return
  throw new UserError(
    'The stored weights of this run do not belong to its model.',
    'Import the run again from the archive that was exported.'
  )
}
