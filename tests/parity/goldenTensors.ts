// The trained tensors of a fixture under the names that our methods give them.
import { expect } from 'vitest'
import type { DecoderConfig } from '../../src/engine/model/config'
import type { StoredTensors } from '../../src/engine/training/checkpoint'
import { relativeError, type GoldenExpectation } from './golden'

const matrix = (rows: readonly (readonly number[])[]) => ({ shape: [rows.length, rows[0]!.length], data: Float32Array.from(rows.flat()) })

/** PEFT keeps, by virtual token, each layer's key and then its value, side by side; a tensor of each here. */
export function prefixTensors(rows: readonly (readonly number[])[], { layers, keyValueHeads, headSize }: DecoderConfig): StoredTensors {
  const width = keyValueHeads * headSize
  const sides = Array.from({ length: 2 * layers }, (_, i) => {
    const name = `prefix.${Math.floor(i / 2)}.${i % 2 === 0 ? 'key' : 'value'}`
    return [name, matrix(rows.map((row) => row.slice(i * width, (i + 1) * width)))] as const
  })
  return Object.fromEntries(sides)
}

export const loraTensors = (named: Record<string, number[][]>): StoredTensors =>
  Object.fromEntries(Object.entries(named).map(([name, rows]) => [`${name}.weight`, matrix(rows)]))

export function ia3Tensors(named: Record<string, number[]>, feedForward: readonly string[]): StoredTensors {
  return Object.fromEntries(
    Object.entries(named).map(([name, scales]) => {
      const path = name.replace('.ia3_l.default', '')
      const scalesInput = feedForward.some((module) => path.endsWith(`.${module}`))
      return [`${path}.ia3_l`, { shape: scalesInput ? [1, scales.length] : [scales.length, 1], data: Float32Array.from(scales) }]
    })
  )
}

/** The same names, and each tensor within `error` of its largest number. */
export function expectTensors(tensors: StoredTensors, expected: StoredTensors, error: number): void {
  expect(Object.keys(tensors).toSorted()).toEqual(Object.keys(expected).toSorted())
  for (const [name, { data }] of Object.entries(expected)) expect(relativeError(tensors[name]!.data, data), name).toBeLessThan(error)
}

/** The fixture's tensors after its last step. */
export function finalTensors(kind: string, expected: GoldenExpectation, config: DecoderConfig): StoredTensors {
  switch (kind) {
    case 'prefix':
      return prefixTensors(expected.prefix.final, config)
    case 'lora':
      return loraTensors(expected.lora.final)
    case 'ia3':
      return ia3Tensors(expected.ia3.final, expected.ia3.feedforward_modules)
    default:
      return { virtualTokens: matrix(expected.prompt.final) }
  }
}
