// A curve in memory: two columns of numbers that grow without copying at each step, and a bounded form of them to draw.

/** Points (x, y) with x never falling, in typed arrays that double when full. */
export class Samples {
  #x = new Float64Array(64)
  #y = new Float64Array(64)
  #length = 0

  get length(): number {
    return this.#length
  }

  get x(): Float64Array {
    return this.#x.subarray(0, this.#length)
  }

  get y(): Float64Array {
    return this.#y.subarray(0, this.#length)
  }

  push(x: number, y: number): void {
    if (this.#length === this.#x.length) {
      this.#x = grown(this.#x)
      this.#y = grown(this.#y)
    }
    this.#x[this.#length] = x
    this.#y[this.#length] = y
    this.#length++
  }

  /** The last y, or undefined where there is none. */
  get last(): number | undefined {
    return this.#length > 0 ? this.#y[this.#length - 1] : undefined
  }
}

function grown(column: Float64Array): Float64Array<ArrayBuffer> {
  const next = new Float64Array(column.length * 2)
  next.set(column)
  return next
}

export interface Points {
  x: number[]
  y: number[]
}

/**
 * At most about `limit` points that look the same when drawn: of each bucket of neighbours the lowest and the highest stay,
 * in their order, and so do the first and the last point. Curves that are short enough come back whole.
 */
export function decimate(x: ArrayLike<number>, y: ArrayLike<number>, limit: number): Points {
  const length = Math.min(x.length, y.length)
  const out: Points = { x: [], y: [] }
  const keep = (i: number) => {
    out.x.push(x[i] as number)
    out.y.push(y[i] as number)
  }
  if (length <= limit) {
    for (let i = 0; i < length; i++) keep(i)
    return out
  }
  const buckets = Math.max(1, Math.floor((limit - 2) / 2))
  const inner = length - 2
  keep(0)
  for (let bucket = 0; bucket < buckets; bucket++) {
    const from = 1 + Math.floor((bucket * inner) / buckets)
    const to = 1 + Math.floor(((bucket + 1) * inner) / buckets)
    let low = from
    let high = from
    for (let i = from + 1; i < to; i++) {
      if ((y[i] as number) < (y[low] as number)) low = i
      if ((y[i] as number) > (y[high] as number)) high = i
    }
    keep(Math.min(low, high))
    if (low !== high) keep(Math.max(low, high))
  }
  keep(length - 1)
  return out
}

/** Exponential moving average that starts unbiased (Kingma and Ba 2015, section 3): over about `window` points. */
export class Smoother {
  #average = 0
  #weight = 0
  readonly #decay: number

  constructor(window: number) {
    this.#decay = 1 - 1 / window
  }

  next(value: number): number {
    this.#average = this.#decay * this.#average + (1 - this.#decay) * value
    this.#weight = this.#decay * this.#weight + (1 - this.#decay)
    return this.#average / this.#weight
  }
}
