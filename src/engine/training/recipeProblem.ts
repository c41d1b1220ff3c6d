// What is wrong with a recipe, said before anything starts.
import { UserError } from '../errors'
import type { TrainedOn } from '../methods/method'
import { getMethod, optionsOf } from '../methods/registry'
import { shapesOfPart } from '../methods/trained'
import type { Recipe, RecipePart, Window } from './recipe'

/**
 * The first problem of a recipe, or undefined. Without `on`, which says what is tuned, it cannot be seen whether two parts train the same tensor.
 */
export function recipeProblem(recipe: Recipe, on?: TrainedOn): UserError | undefined {
  try {
    checkRecipe(recipe, on)
    return undefined
  } catch (problem) {
    if (problem instanceof UserError) return problem
    throw problem
  }
}

/** Throws a `UserError` with the first problem of a recipe. */
export function checkRecipe({ parts, batchSize, optimiser, schedule }: Recipe, on?: TrainedOn): void {
  if (parts.length === 0) throw new UserError('This recipe has no method.', 'Choose at least one.')
  parts.forEach(checkPart)
  const written = parts.filter(({ method }) => !getMethod(method).trains)
  if (written.length > 1) throw new UserError('A recipe can have one hand-written prompt, and this has more.', 'Take the others out.')
  checkNothingIsThereTwice(parts)
  if (written.length < parts.length) written.forEach(checkAsksAsTheTask)
  checkNothingIsLeftOut(parts)
  if (!(Number.isInteger(batchSize) && batchSize > 0)) {
    throw new UserError(`A batch of ${batchSize} examples cannot be read.`, 'Give a whole number from 1.')
  }
  if (!(Number.isInteger(schedule.warmupSteps) && schedule.warmupSteps >= 0)) {
    throw new UserError(`${schedule.warmupSteps} warm-up steps cannot be made.`, 'Give a whole number from 0.')
  }
  if (!(optimiser.clipNorm >= 0)) throw new UserError(`A gradient cannot be clipped at ${optimiser.clipNorm}.`, 'Give a number from 0.')
  if (on) checkNothingIsTrainedTwice(parts, on)
}

function checkPart({ method: id, options: values, learningRate, weightDecay, window }: RecipePart): void {
  const method = getMethod(id)
  const options = optionsOf(method, values)
  if (!(learningRate >= 0 && Number.isFinite(learningRate))) {
    throw new UserError(`${method.title}: the learning rate cannot be ${learningRate}.`, 'Give a number from 0.')
  }
  if (!(weightDecay >= 0 && Number.isFinite(weightDecay))) {
    throw new UserError(`${method.title}: the weight decay cannot be ${weightDecay}.`, 'Give a number from 0.')
  }
  if (options.start === 'saved' && !options.savedRun) {
    throw new UserError(`${method.title} is to start from a saved prompt, and none is chosen.`, 'Choose a run of the library.')
  }
  if (window && !(window.from >= 0 && window.from < window.to && window.to <= 1)) {
    throw new UserError(
      `${method.title} cannot be trained from ${percent(window.from)} to ${percent(window.to)} of the budget.`,
      'Give two shares from 0 to 100 %, the first lower than the second.'
    )
  }
}

/** A method reads the trained tensors of its kind, not those of one part: with other layers in each of two parts it would count them with one part's options. */
function checkNothingIsThereTwice(parts: readonly RecipePart[]): void {
  const twice = parts.find(({ method }, at) => parts.findIndex((other) => other.method === method) < at)
  if (!twice) return
  throw new UserError(`The recipe has ${getMethod(twice.method).title} twice.`, 'Put all that it is to train into one part.')
}

/** What is tuned learns the task's template and is tested with it: another one beside it would have no part in the numbers. */
function checkAsksAsTheTask({ method: id, options }: RecipePart): void {
  const method = getMethod(id)
  const own = Object.entries(optionsOf(method, options)).some(([name, value]) => value !== method.options[name]!.default)
  if (!own) return
  throw new UserError(
    'A hand-written prompt of its own cannot stand beside what is tuned.',
    'Give the task this template instead: then every method is tuned with it.'
  )
}

const percent = (share: number): string => `${+(100 * share).toFixed(2)} %`

/** Steps in which every part is frozen would be paid for nothing. */
function checkNothingIsLeftOut(parts: readonly RecipePart[]): void {
  const windows: Window[] = parts
    .filter(({ method }) => getMethod(method).trains)
    .map(({ window }) => window ?? { from: 0, to: 1 })
    .sort((a, b) => a.from - b.from)
  if (windows.length === 0) return
  let reached = 0
  for (const { from, to } of [...windows, { from: 1, to: 1 }]) {
    if (from > reached) {
      throw new UserError(
        `Nothing is trained from ${percent(reached)} to ${percent(from)} of the budget.`,
        'Let one stage begin where the one before it ends, and the last one end at 100 %.'
      )
    }
    reached = Math.max(reached, to)
  }
}

function checkNothingIsTrainedTwice(parts: readonly RecipePart[], on: TrainedOn): void {
  const seen = new Set<string>()
  for (const part of parts) {
    for (const name of Object.keys(shapesOfPart(part, on))) {
      if (seen.has(name)) throw new UserError(`Two parts of the recipe train "${name}".`, 'Take one of these methods out of the recipe.')
      seen.add(name)
    }
  }
}
