// A seeded random number generator whose whole state is four integers, so that a checkpoint can carry it.

export type RandomState = [number, number, number, number]

/** xoshiro128** (Blackman and Vigna 2018), seeded through splitmix32. Not for cryptography. */
export class Random {
  #state: Uint32Array

  constructor(seedOrState: number | RandomState) {
    this.#state = new Uint32Array(4)
    if (typeof seedOrState !== 'number') {
      this.#state.set(seedOrState)
      return
    }
    let seed = seedOrState >>> 0
    for (let i = 0; i < 4; i++) {
      seed = (seed + 0x9e3779b9) >>> 0
      let z = seed
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
      this.#state[i] = z ^ (z >>> 15)
    }
  }

  /** Enough to go on exactly: `new Random(state)` gives the same numbers from here. */
  get state(): RandomState {
    return [...this.#state] as RandomState
  }

  /** An integer in [0, 2^32). */
  next(): number {
    const s = this.#state as unknown as [number, number, number, number]
    const scaled = Math.imul(s[1], 5)
    const result = Math.imul((scaled << 7) | (scaled >>> 25), 9) >>> 0
    const t = s[1] << 9
    s[2] ^= s[0]
    s[3] ^= s[1]
    s[1] ^= s[2]
    s[0] ^= s[3]
    s[2] ^= t
    s[3] = (s[3] << 11) | (s[3] >>> 21)
    return result
  }

  /** A number in [0, 1). */
  uniform(): number {
    return this.next() / 4294967296
  }

  /** An integer in [0, limit). */
  integer(limit: number): number {
    return Math.floor(this.uniform() * limit)
  }

  /** Standard normal (Box and Muller 1958); two uniforms a number, so that the state stays plain. */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()))
    return radius * Math.cos(2 * Math.PI * this.uniform())
  }

  /** A new array with the same items in random order (Fisher and Yates). */
  shuffle<T>(items: readonly T[]): T[] {
    const out = [...items]
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.integer(i + 1)
      const held = out[i] as T
      out[i] = out[j] as T
      out[j] = held
    }
    return out
  }
}
