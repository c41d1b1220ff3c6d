// Puts work on the device in turn: one piece at a time, and during a race only between two of its steps.

/** While held, work waits for `drain`; otherwise it runs at once, one piece after the other. */
export class DeviceQueue {
  #waiting: (() => Promise<void>)[] = []
  #held = false
  #tail: Promise<void> = Promise.resolve()

  /** The result of `work`, which runs when its turn comes. */
  run<T>(work: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push(() => work().then(resolve, reject))
      if (!this.#held) void this.drain()
    })
  }

  /** Makes work wait until the next `drain` or `release`. */
  hold(): void {
    this.#held = true
  }

  /** Lets work run as it comes. */
  release(): void {
    this.#held = false
    void this.drain()
  }

  /** Does all work that waits; resolves when it is done. */
  drain(): Promise<void> {
    this.#tail = this.#tail.then(async () => {
      for (let work = this.#waiting.shift(); work; work = this.#waiting.shift()) await work()
    })
    return this.#tail
  }
}
