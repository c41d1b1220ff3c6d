// How fast something comes and when it will be there, from the bytes that were seen so far.

/** Over so long the speed is taken: short enough to follow a change, long enough to stand still. */
const WINDOW_SECONDS = 5

/** Before so long has passed there is no speed worth showing. */
const LEAST_SECONDS = 0.5

export class TransferRate {
  #seen: { seconds: number; loaded: number }[] = []

  /** @param seconds a clock's, that never goes back */
  note(seconds: number, loaded: number): void {
    this.#seen.push({ seconds, loaded })
    // The first one before the window stays, so that the window is whole.
    const old = this.#seen.findLastIndex((entry) => entry.seconds <= seconds - WINDOW_SECONDS)
    if (old > 0) this.#seen = this.#seen.slice(old)
  }

  /** Undefined where too little was seen. */
  get bytesPerSecond(): number | undefined {
    const first = this.#seen[0]
    const last = this.#seen.at(-1)
    if (!first || !last || last.seconds - first.seconds < LEAST_SECONDS) return undefined
    return (last.loaded - first.loaded) / (last.seconds - first.seconds)
  }

  /** Undefined where nothing comes. */
  secondsLeft(total: number): number | undefined {
    const rate = this.bytesPerSecond
    const last = this.#seen.at(-1)
    return rate && last ? (total - last.loaded) / rate : undefined
  }
}
