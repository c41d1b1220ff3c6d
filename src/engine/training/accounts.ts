// What a run is charged: training time without compilation and evaluation, tokens, and the most memory it held.

/** Plain numbers, as a checkpoint keeps them. */
export interface AccountsState {
  trainMilliseconds: number
  compileMilliseconds: number
  evaluationMilliseconds: number
  tokens: number
  peakBytes: number
}

/** Later times of a shape that are kept for its median. */
const KEPT_TIMES = 101

interface ShapeTimes {
  /** The first step's measured time, which includes the compilation of its pipelines. */
  first: number
  /** Padded tokens of a step of this shape, by which times of other shapes are scaled. */
  tokens: number
  /** Measured times of the latest later steps. */
  later: number[]
  /** False for work that is done once and not again. */
  repeats: boolean
}

/**
 * The accounts of one run. A pipeline is compiled when a batch shape is first seen, so that the first step of each shape is measured too long:
 * it is charged the median of the later steps of its shape, or, while there is none, the median of the other shapes' times per padded token
 * times its own padded tokens, or nothing while nothing else is known; what it took beyond that is compilation. The charge is mended as soon as more is known.
 */
export class Accounts {
  readonly #base: AccountsState
  readonly #shapes = new Map<string, ShapeTimes>()
  #laterMilliseconds = 0

  /** Goes on from `state`; shapes count anew, since a reload compiles their pipelines anew. */
  constructor(state?: Readonly<AccountsState>) {
    this.#base = { trainMilliseconds: 0, compileMilliseconds: 0, evaluationMilliseconds: 0, tokens: 0, peakBytes: 0, ...state }
  }

  /**
   * Books one training step and returns its charge in milliseconds as far as it is known now.
   * @param shape what decides the pipelines: padded length, rows and label rows
   * @param paddedTokens tokens that are computed, padding and virtual tokens included
   * @param tokens real tokens
   * @param repeats false for work that is done once, as reading the features of a probe: the time left does not expect it again
   */
  addStep(shape: string, paddedTokens: number, tokens: number, milliseconds: number, repeats = true): number {
    this.#base.tokens += tokens
    const times = this.#shapes.get(shape)
    if (!times) {
      const first = { first: milliseconds, tokens: paddedTokens, later: [], repeats }
      this.#shapes.set(shape, first)
      return this.#chargeOfFirst(first)
    }
    times.later.push(milliseconds)
    if (times.later.length > KEPT_TIMES) times.later.shift()
    this.#laterMilliseconds += milliseconds
    return milliseconds
  }

  addEvaluation(milliseconds: number): void {
    this.#base.evaluationMilliseconds += milliseconds
  }

  notePeak(bytes: number): void {
    this.#base.peakBytes = Math.max(this.#base.peakBytes, bytes)
  }

  /** Charged seconds of training. */
  get seconds(): number {
    return this.state.trainMilliseconds / 1000
  }

  /** Everything as plain numbers, with the charges as known now. */
  get state(): AccountsState {
    let charged = 0
    let measured = 0
    for (const times of this.#shapes.values()) {
      charged += this.#chargeOfFirst(times)
      measured += times.first
    }
    return {
      ...this.#base,
      trainMilliseconds: this.#base.trainMilliseconds + this.#laterMilliseconds + charged,
      compileMilliseconds: this.#base.compileMilliseconds + measured - charged
    }
  }

  /** Expected charge of one step: the mean over the shapes seen since the start or the reload, by how often they came; undefined before the first. */
  get typicalMilliseconds(): number | undefined {
    let sum = 0
    let count = 0
    for (const times of this.#shapes.values()) {
      if (!times.repeats) continue
      const steps = 1 + times.later.length
      const charge = times.later.length > 0 ? median(times.later) : this.#chargeOfFirst(times) || times.first
      sum += steps * charge
      count += steps
    }
    return count > 0 ? sum / count : undefined
  }

  #chargeOfFirst({ first, tokens, later }: ShapeTimes): number {
    if (later.length > 0) return Math.min(first, median(later))
    const perToken = [...this.#shapes.values()].filter((times) => times.later.length > 0).map((times) => median(times.later) / times.tokens)
    return perToken.length > 0 ? Math.min(first, median(perToken) * tokens) : 0
  }
}

/** The middle value, or the mean of the two middle ones. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const half = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
}
