// Which Node versions the tool chain accepts.
import { expect, it } from 'vitest'
import { isNodeSupported } from '../../scripts/ensure.mjs'

it.each([
  ['v18.20.8', false],
  ['v20.18.3', false],
  ['v20.19.0', true],
  ['v21.7.3', false],
  ['v22.12.0', false],
  ['v22.13.0', true],
  ['v23.11.0', false],
  ['v24.0.0', true],
  ['v26.1.0', true]
])('Node %s is supported: %s', (version, supported) => {
  expect(isNodeSupported(version)).toBe(supported)
})
