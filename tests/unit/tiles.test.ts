// The choice of a matrix product's tiling.
import { expect, test } from 'vitest'
import { chooseTile, meanwhileTile } from '../../src/engine/kernels/webgpu/tiles'

const ask = (rows: number, columns: number, software: boolean, mode: 'NT' | 'NN' | 'TN' = 'NT') =>
  chooseTile({ mode, rows, columns, depth: 128, software })

test('a processor takes large register tiles, smaller ones where few threads would be left', () => {
  expect(ask(768, 128, true)).toEqual({ kind: 'register', rows: 16, columns: 16, groupRows: 4, groupColumns: 4 })
  expect(ask(16, 8192, true)).toEqual({ kind: 'register', rows: 16, columns: 16, groupRows: 4, groupColumns: 4 })
  expect(ask(16, 128, true)).toEqual({ kind: 'register', rows: 4, columns: 8, groupRows: 4, groupColumns: 4 })
})

test('a GPU takes workgroup tiles for large products, and register tiles for small ones', () => {
  expect(ask(768, 128, false)).toEqual({ kind: 'workgroup' })
  expect(ask(16, 8192, false).kind).toBe('register')
  expect(ask(64, 64, false).kind).toBe('register')
})

test('a tile that compiles slowly has a smaller one for the meantime', () => {
  expect(meanwhileTile(ask(768, 128, true))).toEqual({ kind: 'register', rows: 8, columns: 8, groupRows: 4, groupColumns: 4 })
  expect(meanwhileTile(ask(16, 128, true))).toBeUndefined()
  expect(meanwhileTile(ask(768, 128, false))).toBeUndefined()
})

test('no tile is larger than the matrix, one row is not computed four times, and a workgroup keeps its size', () => {
  for (const software of [true, false]) {
    for (const mode of ['NT', 'NN', 'TN'] as const) {
      for (const rows of [1, 2, 5, 17, 70]) {
        for (const columns of [1, 3, 8, 33, 97, 5000]) {
          const tile = ask(rows, columns, software, mode)
          if (tile.kind !== 'register') continue
          expect(tile.rows).toBeLessThan(rows + 4)
          expect(tile.columns).toBeLessThan(columns + 4)
          expect(tile.groupRows * tile.groupColumns).toBe(software ? 16 : 64)
          expect(Number.isInteger(tile.groupRows)).toBe(true)
          if (mode === 'TN') expect(tile.rows % 4).toBe(0)
          else if (rows === 1) expect(tile.rows).toBe(1)
        }
      }
    }
  }
})
