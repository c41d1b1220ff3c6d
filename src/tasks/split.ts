// Splits labelled rows into training, validation and test sets, each with the labels in the same proportions.
import { Random } from '../engine/random'

export interface Split<T> {
  train: T[]
  validation: T[]
  test: T[]
}

const shares = { train: 0.6, validation: 0.15, test: 0.25 }

const names = ['train', 'test', 'validation'] as const

/**
 * 60/15/25 within every label, by seed. Each row of a shuffled label goes to the set that is furthest behind its share of that label, and
 * where two are alike, of all rows. So no label is off by a whole row in any set, and the first of every label is one to train on.
 */
export function stratifiedSplit<T>(rows: readonly T[], labelOf: (row: T) => string, seed: number): Split<T> {
  const random = new Random(seed)
  const split: Split<T> = { train: [], validation: [], test: [] }
  const byLabel = new Map<string, T[]>()
  for (const row of rows) {
    const group = byLabel.get(labelOf(row))
    if (group) group.push(row)
    else byLabel.set(labelOf(row), [row])
  }
  let dealt = 0
  for (const group of byLabel.values()) {
    const given = { train: 0, validation: 0, test: 0 }
    random.shuffle(group).forEach((row, i) => {
      dealt++
      const behindOverall = (name: keyof typeof shares) => shares[name] * dealt - split[name].length
      const behind = (name: keyof typeof shares) => shares[name] * (i + 1) - given[name] + behindOverall(name) * 1e-6
      const next = names.reduce((best, name) => (behind(name) > behind(best) ? name : best))
      given[next]++
      split[next].push(row)
    })
  }
  return { train: random.shuffle(split.train), validation: random.shuffle(split.validation), test: random.shuffle(split.test) }
}
