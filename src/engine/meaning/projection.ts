// The plane in which a cloud of vectors is spread most: principal components (Pearson 1901), found by orthogonal iteration.
import { Random } from '../random'
import { countOf, type Rows } from './nearest'

export interface Plane {
  /** `[count][2]`: each row's place along the first and the second component. */
  points: [number, number][]
  /** Share of the variance that each component explains, from 0 to 1. */
  explained: [number, number]
}

const ITERATIONS = 100

/** Relative change of the found variance below which it counts as found. */
const TOLERANCE = 1e-9

/**
 * Projects the rows, less their mean, to their first two principal components. The covariance is never formed: an iteration costs four products with the
 * rows. Signs are such that the coordinate of largest size in each component is positive, so that the same rows give the same picture.
 */
export function principalPlane(rows: Rows): Plane {
  const count = countOf(rows)
  const centred = centre(rows)
  const total = centred.data.reduce((sum, value) => sum + value * value, 0)
  const random = new Random(1)
  let basis: Float64Array[] = [0, 1].map(() => Float64Array.from({ length: rows.width }, () => random.normal()))
  orthonormalise(basis)
  let found = 0
  for (let i = 0; i < ITERATIONS; i++) {
    basis = basis.map((direction) => covarianceTimes(centred, direction))
    const variance = orthonormalise(basis)
    if (Math.abs(variance - found) <= TOLERANCE * variance) break
    found = variance
  }
  const along = basis.map((direction) => steadySign(projected(centred, direction), direction))
  const variances = along.map((values) => values.reduce((sum, value) => sum + value * value, 0))
  const order = variances[0]! >= variances[1]! ? [0, 1] : [1, 0]
  const share = (axis: number): number => (total > 0 ? variances[order[axis]!]! / total : 0)
  return {
    points: Array.from({ length: count }, (_, i) => [along[order[0]!]![i]!, along[order[1]!]![i]!]),
    explained: [share(0), share(1)]
  }
}

function centre({ data, width }: Rows): Rows {
  const mean = new Float64Array(width)
  data.forEach((value, i) => (mean[i % width]! += value))
  const count = Math.max(1, data.length / width)
  return { data: data.map((value, i) => value - mean[i % width]! / count), width }
}

/** Each row's dot product with a direction. */
function projected({ data, width }: Rows, direction: Float64Array): Float64Array {
  const values = new Float64Array(data.length / width)
  for (let row = 0, at = 0; row < values.length; row++) {
    let sum = 0
    for (let k = 0; k < width; k++, at++) sum += data[at]! * direction[k]!
    values[row] = sum
  }
  return values
}

/** `rows^T (rows direction)`. */
function covarianceTimes(rows: Rows, direction: Float64Array): Float64Array {
  const weights = projected(rows, direction)
  const result = new Float64Array(rows.width)
  for (let row = 0, at = 0; row < weights.length; row++) {
    for (let k = 0; k < rows.width; k++, at++) result[k]! += weights[row]! * rows.data[at]!
  }
  return result
}

/** Gram and Schmidt, in place; returns the sum of the lengths before, which grows to the variance along the basis. A lost direction becomes zeros. */
function orthonormalise(basis: Float64Array[]): number {
  let lengths = 0
  basis.forEach((direction, i) => {
    const before = Math.sqrt(product(direction, direction))
    for (const earlier of basis.slice(0, i)) {
      const along = product(direction, earlier)
      for (let k = 0; k < direction.length; k++) direction[k]! -= along * earlier[k]!
    }
    const length = Math.sqrt(product(direction, direction))
    lengths += length
    // What rounding alone has left over is no direction.
    const scale = length > 1e-9 * before ? 1 / length : 0
    for (let k = 0; k < direction.length; k++) direction[k]! *= scale
  })
  return lengths
}

function product(a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let k = 0; k < a.length; k++) sum += a[k]! * b[k]!
  return sum
}

function steadySign(values: Float64Array, direction: Float64Array): Float64Array {
  const largest = direction.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0)
  return largest < 0 ? values.map((value) => -value) : values
}
