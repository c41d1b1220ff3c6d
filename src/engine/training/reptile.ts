// Reptile (Nichol, Achiam and Schulman 2018): a start from which each of several tasks is learnt in few steps.

export interface ReptileSettings {
  /** Times that a task is drawn and tuned. */
  iterations: number
  /** Steps of tuning each time. */
  innerSteps: number
  /** How far the start moves towards what was tuned, at first; it falls linearly to zero. */
  metaStepSize: number
}

/** One task, tuned from a start with a fresh optimiser. */
export interface ReptileTask {
  name: string
  /** Loss before the first of the steps and before the last, and the values after it; undefined where the loss was no longer finite. */
  tune(start: Float32Array, steps: number): Promise<{ values: Float32Array; firstLoss: number; lastLoss: number } | undefined>
}

export interface ReptileRecord {
  /** From 1. */
  iteration: number
  task: string
  /** What the start gives on examples of this task before any step. */
  firstLoss: number
  lastLoss: number
  /** How far the tuned values lie from the start: the root mean square of the difference. */
  distance: number
  metaStepSize: number
}

/**
 * `start + metaStepSize * (tuned - start)`, again and again, each time towards another task's tuned values. The tasks come in rounds, each round in a new
 * order. What diverged does not move the start.
 * @param shuffle an array in a new random order
 * @param onIteration told after each; where it says false, the start as it then is is the result
 */
export async function reptile(
  start: Float32Array,
  tasks: readonly ReptileTask[],
  { iterations, innerSteps, metaStepSize }: ReptileSettings,
  shuffle: <T>(items: readonly T[]) => T[],
  onIteration: (record: ReptileRecord, values: Float32Array) => Promise<boolean>
): Promise<Float32Array> {
  let values = start.slice()
  let round: ReptileTask[] = []
  for (let iteration = 1; iteration <= iterations; iteration++) {
    if (round.length === 0) round = shuffle(tasks)
    const task = round.pop()!
    const tuned = await task.tune(values, innerSteps)
    const stepSize = metaStepSize * (1 - (iteration - 1) / iterations)
    const record: ReptileRecord = { iteration, task: task.name, firstLoss: NaN, lastLoss: NaN, distance: NaN, metaStepSize: stepSize }
    if (tuned) {
      const towards = tuned.values.map((value, i) => value - values[i]!)
      const distance = Math.sqrt(towards.reduce((sum, difference) => sum + difference ** 2, 0) / towards.length)
      values = values.map((value, i) => value + stepSize * towards[i]!)
      Object.assign(record, { firstLoss: tuned.firstLoss, lastLoss: tuned.lastLoss, distance })
    }
    if (!(await onIteration(record, values))) break
  }
  return values
}
