// What the tuner does with measured choices: size classes, pinned candidates, export, import and reset.
import { expect, test } from 'vitest'
import { CANDIDATES, chooseTile, type TileQuestion } from '../../src/engine/kernels/webgpu/tiles'
import { sizeClass, Tuner } from '../../src/engine/kernels/webgpu/tuner'

const question: TileQuestion = { mode: 'NT', rows: 700, columns: 100, depth: 128, software: false }
const device = (software = false, float16 = false) => ({ revision: 0, software, float16 })
const small = { kind: 'register', rows: 4, columns: 4, groupRows: 8, groupColumns: 8 }

test('sizes up to the next power of two share a choice, modes and packings do not', () => {
  expect(sizeClass(question)).toBe('NT 1024 128 128 float32')
  expect(sizeClass({ ...question, rows: 513, columns: 65 })).toBe(sizeClass(question))
  expect(sizeClass({ ...question, mode: 'NN' })).not.toBe(sizeClass(question))
  expect(sizeClass({ ...question, packing: 'float16' })).not.toBe(sizeClass(question))
})

test('a graphics card measures what it meets and uses the choice, with the usual tile until that is compiled', () => {
  const run = device()
  const tuner = new Tuner(run)
  expect(tuner.tilesFor(question)).toEqual([chooseTile(question)])
  tuner.tilesFor({ ...question, rows: 600 })
  expect(tuner.pending).toBe(1)
  tuner.choose(sizeClass(tuner.next()!), { candidate: 'register4x4', gigaflops: 7 })
  expect(run.revision).toBe(1)
  expect(tuner.pending).toBe(0)
  expect(tuner.tilesFor(question)).toEqual([small, chooseTile(question)])
})

test('a processor that plays a graphics card measures only where that is asked for', () => {
  const tuner = new Tuner(device(true))
  tuner.tilesFor({ ...question, software: true })
  expect(tuner.pending).toBe(0)
  tuner.tuning = 'on'
  tuner.tilesFor({ ...question, software: true })
  expect(tuner.pending).toBe(1)
})

test('a pinned candidate is used where it suits, and measured choices again when it is let go', () => {
  const tuner = new Tuner(device())
  tuner.choose(sizeClass(question), { candidate: 'workgroup64x64', gigaflops: 9 })
  tuner.tuning = 'register4x4'
  expect(tuner.tilesFor(question)[0]).toEqual(small)
  tuner.tuning = 'register16x16'
  expect(tuner.tilesFor({ ...question, columns: 8 })).toEqual([chooseTile({ ...question, columns: 8 })])
  tuner.tuning = 'on'
  expect(tuner.tilesFor(question)[0]).toEqual({ kind: 'workgroup' })
  tuner.tuning = 'off'
  expect(tuner.tilesFor(question)).toEqual([chooseTile(question)])
})

test('tiles that neighbours read together are used where there are neighbours to read for', () => {
  const large = { ...question, software: true, subgroups: true }
  expect(chooseTile(large)).toMatchObject({ kind: 'quad', rows: 8, columns: 8 })
  expect(chooseTile({ ...large, subgroups: false })).toMatchObject({ kind: 'register', rows: 16, columns: 16 })
  expect(chooseTile({ ...large, rows: 8 })).toMatchObject({ kind: 'quad', rows: 4, columns: 8 })
  expect(chooseTile({ ...large, columns: 8 })).toMatchObject({ kind: 'quad', rows: 8, columns: 4 })
  expect(chooseTile({ ...large, rows: 4 })).toMatchObject({ kind: 'register' })
  expect(CANDIDATES.quad8x8.tile(question)).toBeUndefined()
  expect(CANDIDATES.quad8x8.tile({ ...question, subgroups: true })).toMatchObject({ kind: 'quad', groupRows: 8, groupColumns: 8 })
})

test('float16 arithmetic stands for choice only where device and user allow it, apart from the choices without it', () => {
  const run = device(false, true)
  const tuner = new Tuner(run)
  tuner.float16 = true
  expect([tuner.float16, run.revision]).toEqual([true, 1])
  const allowed = { ...question, float16: true }
  expect(sizeClass(allowed)).not.toBe(sizeClass(question))
  expect(CANDIDATES.float16x8x8.tile(allowed)).toMatchObject({ kind: 'float16', rows: 8, columns: 8 })
  expect(CANDIDATES.float16x8x8.tile(question)).toBeUndefined()
  tuner.tuning = 'float16x8x8'
  expect(tuner.tilesFor(allowed)[0]).toMatchObject({ kind: 'float16' })
  expect(tuner.tilesFor(question)).toEqual([chooseTile(question)])
  const other = new Tuner(device())
  other.float16 = true
  expect(other.float16).toBe(false)
})

test('choices go out and come back; those of candidates that are no more are measured anew', () => {
  const tuner = new Tuner(device())
  tuner.choose(sizeClass(question), { candidate: 'register4x4', gigaflops: 7 })
  const other = new Tuner(device())
  other.tilesFor(question)
  other.importChoices({ ...tuner.exportChoices(), 'NN 2 2 2 float32': { candidate: 'gone' as 'register4x4', gigaflops: 1 } })
  expect(other.exportChoices()).toEqual({ 'NT 1024 128 128 float32': { candidate: 'register4x4', gigaflops: 7 } })
  expect(other.pending).toBe(0)
  expect(other.tilesFor(question)[0]).toEqual(small)
  other.reset()
  expect(other.exportChoices()).toEqual({})
  other.tilesFor(question)
  expect(other.pending).toBe(1)
})
