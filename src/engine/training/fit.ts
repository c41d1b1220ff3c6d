// Whether runs fit into a device's memory, and what would fit where they do not: arithmetic on estimates, told in words.
import type { TrainedOn } from '../methods/method'
import { getMethod } from '../methods/registry'
import { estimateStep } from './memoryEstimate'
import type { BatchShape, MemoryEstimate, HeldBase, MemoryRecipe } from './stepMemory'

/** What a device can hold. */
export interface MemoryLimits {
  /** Bytes in all; undefined where nobody knows. */
  total?: number
  /** Bytes of the largest tensor that can be bound. */
  tensor: number
}

/** What is wrong, and what to do about it. */
export interface FitProblem {
  message: string
  advice: string
}

/** A run as it is estimated: its recipe and its largest batch. */
export interface PlannedRun {
  name: string
  recipe: MemoryRecipe
  batch: BatchShape
}

/** Bytes of a whole race: one base, the state of every run, and the worst step of any of them. */
export function raceBytes(estimates: readonly MemoryEstimate[], evaluation: number): number {
  const base = Math.max(0, ...estimates.map((estimate) => estimate.base))
  const held = estimates.reduce((sum, { trained, optimiser }) => sum + trained + optimiser, 0)
  const steps = estimates.map(({ peak, base: own, trained, optimiser }) => peak - own - trained - optimiser)
  return base + held + Math.max(evaluation, ...steps)
}

/** Why one run alone does not fit, with the smallest changes that would do; undefined where it fits. */
export function runProblem(
  { name, recipe, batch }: PlannedRun,
  on: TrainedOn,
  base: HeldBase,
  limits: MemoryLimits
): FitProblem | undefined {
  const fits = (changed: MemoryRecipe, shape: BatchShape): boolean => !excess(changed, shape, on, base, limits)
  const much = excess(recipe, batch, on, base, limits)
  if (!much) return undefined
  if (base.largest > limits.tensor || base.total > (limits.total ?? Infinity)) {
    return { message: `${name} does not fit: ${much}.`, advice: 'Choose a smaller model, or hold its weights in fewer bytes.' }
  }
  const changes = [
    smallerBatch(recipe, batch, fits),
    shorterText(recipe, batch, fits),
    !recipe.gradientCheckpointing && fits({ ...recipe, gradientCheckpointing: true }, batch) ? 'gradient checkpointing' : undefined,
    otherMethod(recipe, batch, fits)
  ].filter((change) => change !== undefined)
  return {
    message: `${name} does not fit: ${much}.`,
    advice: changes.length > 0 ? `It would with ${listed(changes)}.` : 'Choose a smaller model, or a method that trains fewer numbers.'
  }
}

/** Why runs that each fit alone do not fit together. */
export function raceProblem(bytes: number, runs: number, limits: MemoryLimits): FitProblem | undefined {
  if (limits.total === undefined || bytes <= limits.total) return undefined
  return {
    message: `Together the ${runs} runs need about ${gigabytes(bytes)}, and ${gigabytes(limits.total)} are there.`,
    advice: 'Race fewer methods at a time, those that train most numbers one by one, or make the batch smaller.'
  }
}

/** What is too much, in words; undefined where it fits. */
function excess(recipe: MemoryRecipe, batch: BatchShape, on: TrainedOn, base: HeldBase, limits: MemoryLimits): string | undefined {
  const { peak, largestTensor } = estimateStep(recipe, batch, on, base)
  const tensor = Math.max(base.largest, largestTensor)
  if (tensor > limits.tensor) return `it needs a tensor of ${gigabytes(tensor)}, and this device binds ${gigabytes(limits.tensor)} at most`
  if (limits.total !== undefined && peak > limits.total)
    return `it needs about ${gigabytes(peak)}, and ${gigabytes(limits.total)} are there`
  return undefined
}

type Fits = (recipe: MemoryRecipe, batch: BatchShape) => boolean

function smallerBatch(recipe: MemoryRecipe, batch: BatchShape, fits: Fits): string | undefined {
  for (let size = Math.floor(batch.size / 2); size >= 1; size = Math.floor(size / 2)) {
    if (fits(recipe, { ...batch, size, labelRows: Math.ceil((batch.labelRows * size) / batch.size) })) return `a batch of ${size}`
  }
  return undefined
}

/** Texts are padded to multiples of this. */
const LENGTH_STEP = 16

function shorterText(recipe: MemoryRecipe, batch: BatchShape, fits: Fits): string | undefined {
  for (let time = batch.time - LENGTH_STEP; time >= LENGTH_STEP; time -= LENGTH_STEP) {
    if (fits(recipe, { ...batch, time })) return `texts of at most ${time} tokens`
  }
  return undefined
}

/** Those that train least come last; a recipe is compared as one part. */
const SMALLER_METHODS = ['lora', 'softPrompt']

function otherMethod({ parts }: MemoryRecipe, batch: BatchShape, fits: Fits): string | undefined {
  const chosen = parts.map(({ method }) => method)
  const found = SMALLER_METHODS.find((method) => {
    if (chosen.includes(method)) return false
    return fits({ parts: [{ method, options: {}, learningRate: 0, weightDecay: 0 }] }, batch)
  })
  return found && `${getMethod(found).title} in its place`
}

function listed(items: readonly string[]): string {
  return items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} or ${items.at(-1)}`
}

const gigabytes = (bytes: number): string => (bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.ceil(bytes / 1e6)} MB`)
