// How alike two soft prompts are.
import { countOf, dot, lengthsOf, type Rows } from './nearest'

/**
 * The mean, over the virtual tokens of both prompts, of the highest cosine with a virtual token of the other: 1 for the same tokens in any order, and
 * the same for (a, b) as for (b, a). The order of virtual tokens means little and their number may differ, so places are not compared one by one;
 * and the cosine of mean tokens (SPoT, Vu et al. 2022) says little of prompts that begin as different words, whose means lie close together anyway.
 */
export function promptSimilarity(a: Rows, b: Rows): number {
  const [lengthsA, lengthsB] = [lengthsOf(a), lengthsOf(b)]
  const bestOfA = new Float64Array(countOf(a)).fill(-1)
  const bestOfB = new Float64Array(countOf(b)).fill(-1)
  for (let i = 0; i < bestOfA.length; i++) {
    for (let j = 0; j < bestOfB.length; j++) {
      const cosine = dot(a, i, b, j) / (lengthsA[i]! * lengthsB[j]! || 1)
      bestOfA[i] = Math.max(bestOfA[i]!, cosine)
      bestOfB[j] = Math.max(bestOfB[j]!, cosine)
    }
  }
  const sum = (values: Float64Array): number => values.reduce((total, value) => total + value, 0)
  return (sum(bestOfA) + sum(bestOfB)) / (bestOfA.length + bestOfB.length)
}

/** `[prompts][prompts]` similarities, symmetric. */
export function similarityMatrix(prompts: readonly Rows[]): number[][] {
  const matrix = prompts.map(() => new Array<number>(prompts.length).fill(1))
  prompts.forEach((a, i) => {
    prompts.slice(0, i).forEach((b, j) => {
      matrix[i]![j] = matrix[j]![i] = promptSimilarity(a, b)
    })
  })
  return matrix
}
