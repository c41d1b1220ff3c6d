// How much memory a device has for us, as far as anyone can know.
import type { BackendName } from './report'

export interface MemoryReport {
  /** Bytes that runs may take in all; undefined where nobody knows. */
  bytes?: number
  /** Where the number comes from: a person, WebAssembly's own limit, or half of the memory that the browser tells of. */
  from: 'person' | 'webassembly' | 'computer' | 'unknown'
}

/** What one WebAssembly memory can grow to. */
const WEBASSEMBLY_BYTES = 2 ** 32

/** WebGPU tells no size of a graphics memory, and processors share theirs with all other programs: half of it is taken to be ours. */
const SHARE_OF_COMPUTER = 0.5

/**
 * The memory for runs. `chosen` is what a person allows, in bytes; `deviceMemory` what the browser tells of the computer, in GiB and rounded to a
 * power of two (https://www.w3.org/TR/device-memory/): of much memory it tells less than there is.
 */
export function memoryReport(backend: BackendName, deviceMemory: number | undefined, chosen?: number): MemoryReport {
  if (chosen !== undefined) return { bytes: chosen, from: 'person' }
  const half = deviceMemory === undefined ? Infinity : SHARE_OF_COMPUTER * deviceMemory * 2 ** 30
  if (backend === 'wasm' && WEBASSEMBLY_BYTES <= half) return { bytes: WEBASSEMBLY_BYTES, from: 'webassembly' }
  return Number.isFinite(half) ? { bytes: half, from: 'computer' } : { from: 'unknown' }
}
