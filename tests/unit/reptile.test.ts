// Reptile on tasks whose best values are known: where the start goes, in which order, and when it ends.
import { expect, test } from 'vitest'
import { Random } from '../../src/engine/random'
import { reptile, type ReptileRecord, type ReptileTask } from '../../src/engine/training/reptile'

/** Gradient descent on the squared distance to `best`: each step goes half of the way. */
const quadratic = (name: string, best: number): ReptileTask => ({
  name,
  tune: (start, steps) => {
    const values = start.map((value) => best + (value - best) * 0.5 ** steps)
    return Promise.resolve({ values, firstLoss: (start[0]! - best) ** 2, lastLoss: (values[0]! - best) ** 2 })
  }
})
const seeded = (seed: number) => {
  const random = new Random(seed)
  return <T>(items: readonly T[]): T[] => random.shuffle(items)
}
const settings = { iterations: 200, innerSteps: 2, metaStepSize: 0.3 }
const go = (): Promise<boolean> => Promise.resolve(true)

test('goes to where all tasks are near, and leaves the given start as it is', async () => {
  const start = Float32Array.of(10, 10)
  const values = await reptile(start, [quadratic('a', -1), quadratic('b', 3)], settings, seeded(1), go)
  values.forEach((value) => expect(value).toBeCloseTo(1, 1))
  expect(start).toEqual(Float32Array.of(10, 10))
})

test('one iteration goes the share of the way to what was tuned, and the share falls to zero', async () => {
  const records: ReptileRecord[] = []
  const note = (record: ReptileRecord): Promise<boolean> => {
    records.push(record)
    return Promise.resolve(true)
  }
  const values = await reptile(
    Float32Array.of(8),
    [quadratic('a', 0)],
    { iterations: 4, innerSteps: 1, metaStepSize: 0.5 },
    seeded(1),
    note
  )
  expect(records.map(({ metaStepSize }) => metaStepSize)).toEqual([0.5, 0.375, 0.25, 0.125])
  expect(records[0]).toMatchObject({ iteration: 1, task: 'a', firstLoss: 64, lastLoss: 16, distance: 4 })
  expect(values[0]).toBeCloseTo(8 * 0.75 * 0.8125 * 0.875 * 0.9375, 5)
})

test('every task comes once a round', async () => {
  const seen: string[] = []
  const tasks = ['a', 'b', 'c'].map((name) => quadratic(name, 0))
  await reptile(Float32Array.of(1), tasks, { ...settings, iterations: 9 }, seeded(2), ({ task }) =>
    Promise.resolve(Boolean(seen.push(task)))
  )
  for (const round of [0, 3, 6]) expect(seen.slice(round, round + 3).sort()).toEqual(['a', 'b', 'c'])
})

test('a task that diverges moves nothing, and a false answer ends it', async () => {
  const broken: ReptileTask = { name: 'broken', tune: () => Promise.resolve(undefined) }
  const seen: ReptileRecord[] = []
  const values = await reptile(Float32Array.of(5), [broken], settings, seeded(1), (record) => Promise.resolve(seen.push(record) < 3))
  expect(seen).toHaveLength(3)
  expect(seen[0]!.firstLoss).toBeNaN()
  expect(values).toEqual(Float32Array.of(5))
})
