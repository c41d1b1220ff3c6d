// Which words lie nearest to a vector among the model's token embeddings.

/** Rows of numbers, one after the other: `[count, width]` float32. */
export interface Rows {
  data: Float32Array
  width: number
}

export interface Neighbour {
  /** Token id. */
  id: number
  value: number
}

/** The nearest tokens of one vector, the nearest first. */
export interface Nearest {
  /** By the cosine of the angle, from -1 to 1: direction alone. */
  cosine: Neighbour[]
  /** By dot product: long embeddings win, as they do in the attention's scores. */
  dot: Neighbour[]
}

export const countOf = ({ data, width }: Rows): number => data.length / width

/** Euclidean length of each row. */
export function lengthsOf(rows: Rows): Float32Array {
  return Float32Array.from({ length: countOf(rows) }, (_, i) => Math.sqrt(dot(rows, i, rows, i)))
}

/** Dot product of row i of one with row j of the other; both have the same width. */
export function dot(a: Rows, i: number, b: Rows, j: number): number {
  const { width } = a
  let sum = 0
  for (let k = 0, p = i * width, q = j * width; k < width; k++, p++, q++) sum += a.data[p]! * b.data[q]!
  return sum
}

/** For each vector the `top` nearest rows of the vocabulary, by both measures. A row of zeros has the cosine 0 with everything. */
export function nearestTokens(vectors: Rows, vocabulary: Rows, top: number): Nearest[] {
  const tokens = countOf(vocabulary)
  const tokenLengths = lengthsOf(vocabulary)
  return Array.from(lengthsOf(vectors), (length, i) => {
    const dots = Float32Array.from({ length: tokens }, (_, j) => dot(vectors, i, vocabulary, j))
    const cosines = dots.map((value, j) => value / (length * tokenLengths[j]! || 1))
    return { cosine: highest(cosines, top), dot: highest(dots, top) }
  })
}

/** The highest values with their places, the highest first; of equals the earlier. */
function highest(values: Float32Array, top: number): Neighbour[] {
  const best: Neighbour[] = []
  for (let id = 0; id < values.length; id++) {
    const value = values[id]!
    if (best.length === top && value <= best[top - 1]!.value) continue
    let place = best.length
    while (place > 0 && best[place - 1]!.value < value) place--
    best.splice(place, 0, { id, value })
    if (best.length > top) best.pop()
  }
  return best
}
