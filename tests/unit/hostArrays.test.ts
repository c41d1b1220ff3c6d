// How arrays follow from a batch's, and batches with a round number of label rows.
import { expect, test } from 'vitest'
import { arraysOf, derived, fixed, makerOf } from '../../src/engine/hostArrays'
import { withRoundLabels, type Batch } from '../../src/engine/model/batch'

test('an array that follows from a named one in several steps is made anew from another batch', () => {
  const arrays = { lengths: Int32Array.of(1, 2) }
  const longer = derived(arrays.lengths, (all) => all.map((length) => length + 4))
  const halves = derived(longer, (all) => Float32Array.from(all, (length) => length / 2))
  expect(makerOf(halves, arrays)?.({ lengths: Int32Array.of(6, 7) })).toEqual(Float32Array.of(5, 5.5))
  expect(makerOf(arrays.lengths, arrays)?.({ lengths: Int32Array.of(9) })).toEqual(Int32Array.of(9))
})

test('an array of unknown origin has no maker, and a fixed one stays as it is', () => {
  const arrays = { ids: Int32Array.of(1) }
  expect(makerOf(Int32Array.of(1), arrays)).toBeUndefined()
  expect(
    makerOf(
      derived(Int32Array.of(1), (all) => all.slice()),
      arrays
    )
  ).toBeUndefined()
  const positions = fixed(Int32Array.of(0, 1))
  expect(makerOf(positions, arrays)?.({ ids: Int32Array.of(5) })).toEqual(Int32Array.of(0, 1))
})

test('all arrays of a batch have names', () => {
  const [rows, ids] = [Int32Array.of(1), Int32Array.of(2)]
  expect(arraysOf({ size: 1, ids, classes: { rows }, missing: undefined })).toEqual({ ids, 'classes.rows': rows })
})

test('label rows are filled up with rows of no weight', () => {
  const batchOf = (count: number): Batch => ({
    size: 1,
    time: 64,
    inputIds: new Int32Array(64),
    lengths: Int32Array.of(64),
    labelRows: Int32Array.from({ length: count }, (_, i) => i),
    labelIds: Int32Array.from({ length: count }, (_, i) => 100 + i),
    labelWeights: new Float32Array(count).fill(1 / count)
  })
  const { labelRows, labelIds, labelWeights } = withRoundLabels(batchOf(3))
  expect(labelRows).toEqual(Int32Array.of(0, 1, 2, 2, 2, 2, 2, 2))
  expect(labelIds).toEqual(Int32Array.of(100, 101, 102, 102, 102, 102, 102, 102))
  expect([...labelWeights]).toEqual([...new Float32Array(3).fill(1 / 3), 0, 0, 0, 0, 0])
  const sixteen = batchOf(16)
  expect(withRoundLabels(sixteen)).toBe(sixteen)
  expect(withRoundLabels(batchOf(300)).labelRows.length).toBe(320)
})
