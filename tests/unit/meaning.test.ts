import { describe, expect, it } from 'vitest'
import { nearestTokens } from '../../src/engine/meaning/nearest'
import { principalPlane } from '../../src/engine/meaning/projection'
import { promptSimilarity, similarityMatrix } from '../../src/engine/meaning/similarity'
import { snapshotsOf, snapshotTensors, withSnapshot, type Snapshot } from '../../src/engine/meaning/trajectory'
import { momentName, withoutMoments } from '../../src/engine/training/checkpoint'
import { Random } from '../../src/engine/random'

const rows = (...vectors: number[][]) => ({ data: Float32Array.from(vectors.flat()), width: vectors[0]!.length })

describe('nearestTokens', () => {
  const vocabulary = rows([1, 0], [0, 1], [3, 3], [-1, 0], [0, 0], [10, 1])

  it('finds the nearest by direction and by dot product', () => {
    const [nearest] = nearestTokens(rows([1, 1]), vocabulary, 3)
    expect(nearest!.cosine.map(({ id }) => id)).toEqual([2, 5, 0])
    expect(nearest!.cosine[0]!.value).toBeCloseTo(1, 6)
    expect(nearest!.cosine[1]!.value).toBeCloseTo(11 / Math.sqrt(2 * 101), 6)
    expect(nearest!.dot).toEqual([
      { id: 5, value: 11 },
      { id: 2, value: 6 },
      { id: 0, value: 1 }
    ])
  })

  it('gives zeros, never NaN, for a row of zeros, and all there is where more is asked for', () => {
    const [nearest] = nearestTokens(rows([0, 0]), vocabulary, 9)
    expect(nearest!.cosine).toHaveLength(6)
    expect(nearest!.cosine.every(({ value }) => value === 0)).toBe(true)
  })
})

describe('principalPlane', () => {
  it('finds the plane in which points were laid, with their distances and the shares of variance', () => {
    // 3 along (1, 0, 1)/sqrt 2 and 1 along (0, 1, 0), around (5, 5, 5).
    const at = (a: number, b: number): number[] => [5 + a / Math.SQRT2, 5 + b, 5 + a / Math.SQRT2]
    const { points, explained } = principalPlane(rows(at(3, 0), at(-3, 0), at(0, 1), at(0, -1)))
    ;[
      [3, 0],
      [-3, 0],
      [0, 1],
      [0, -1]
    ].forEach(([x, y], i) => {
      expect(points[i]![0]).toBeCloseTo(x!, 5)
      expect(points[i]![1]).toBeCloseTo(y!, 5)
    })
    expect(explained[0]).toBeCloseTo(0.9, 5)
    expect(explained[1]).toBeCloseTo(0.1, 5)
  })

  it('keeps distances of points in a plane of many dimensions', () => {
    const random = new Random(3)
    const [u, v] = [0, 1].map(() => Array.from({ length: 40 }, () => random.normal()))
    const places = Array.from({ length: 12 }, () => [random.normal(), random.normal()] as const)
    const cloud = places.map(([a, b]) => u!.map((value, k) => a * value + b * v![k]!))
    const { points, explained } = principalPlane(rows(...cloud))
    const distance = (a: readonly number[], b: readonly number[]) => Math.hypot(...a.map((value, k) => value - b[k]!))
    for (const [i, j] of [
      [0, 1],
      [2, 7],
      [5, 11]
    ] as const) {
      expect(distance(points[i]!, points[j]!)).toBeCloseTo(distance(cloud[i]!, cloud[j]!), 3)
    }
    expect(explained[0] + explained[1]).toBeCloseTo(1, 5)
  })

  it('puts a cloud without spread in one place', () => {
    expect(principalPlane(rows([1, 2], [1, 2])).points).toEqual([
      [0, 0],
      [0, 0]
    ])
    const { points, explained } = principalPlane(rows([1, 1, 1], [2, 2, 2], [3, 3, 3]))
    expect(points.map(([x]) => Math.abs(x))).toEqual([expect.closeTo(Math.sqrt(3), 5), 0, expect.closeTo(Math.sqrt(3), 5)])
    expect(explained[0]).toBeCloseTo(1, 6)
  })
})

describe('promptSimilarity', () => {
  it('is 1 for the same tokens in any order, 0 for right angles, and takes prompts of different lengths', () => {
    expect(promptSimilarity(rows([1, 0], [0, 2]), rows([0, 1], [3, 0]))).toBeCloseTo(1, 6)
    expect(promptSimilarity(rows([1, 0, 0]), rows([0, 1, 0], [0, 0, 1]))).toBe(0)
    // Of a: 1. Of b: 1 and cos 45 degrees.
    expect(promptSimilarity(rows([1, 0]), rows([2, 0], [1, 1]))).toBeCloseTo((1 + 1 + Math.SQRT1_2) / 3, 6)
  })

  it('fills a symmetric matrix', () => {
    const matrix = similarityMatrix([rows([1, 0]), rows([1, 1]), rows([0, 1])])
    expect(matrix[0]![1]).toBeCloseTo(Math.SQRT1_2, 6)
    expect(matrix[1]![0]).toBe(matrix[0]![1])
    expect(matrix[0]![2]).toBe(0)
    expect(matrix.map((row, i) => row[i])).toEqual([1, 1, 1])
  })
})

describe('the trajectory', () => {
  const snapshot = (step: number): Snapshot => ({ step, shape: [1, 2], data: Float32Array.of(step, -step) })

  it('keeps the first and the last, and spreads the rest over the steps', () => {
    let kept: Snapshot[] = []
    for (let step = 0; step <= 1000; step += 10) kept = withSnapshot(kept, snapshot(step), 11)
    const steps = kept.map(({ step }) => step)
    expect(steps).toHaveLength(11)
    expect(steps[0]).toBe(0)
    expect(steps.at(-1)).toBe(1000)
    const gaps = steps.slice(1).map((step, i) => step - steps[i]!)
    expect(Math.max(...gaps)).toBeLessThanOrEqual(200)
  })

  it('goes on from a step that it has seen before without telling it twice', () => {
    const kept = [0, 10, 20].reduce<Snapshot[]>((all, step) => withSnapshot(all, snapshot(step)), [])
    expect(withSnapshot(kept, snapshot(10)).map(({ step }) => step)).toEqual([0, 10])
  })

  it('lies among the tensors of a checkpoint and is no trained tensor', () => {
    const trained = { shape: [1], data: Float32Array.of(1) }
    const tensors = {
      weight: trained,
      [momentName('first', 'weight')]: trained,
      ...snapshotTensors([snapshot(0), snapshot(20), snapshot(100)])
    }
    expect(snapshotsOf(tensors)).toEqual([snapshot(0), snapshot(20), snapshot(100)])
    expect(withoutMoments(tensors)).toEqual({ weight: trained })
  })
})
