// Which tilings of matrix products were the fastest, by graphics adapter: measured once, used by every later visit.
import { createStore, del, get, set } from 'idb-keyval'
import type { MeasuredChoices } from '../engine/kernels/webgpu/tuner'
import { assertStorageAllowed } from './locks'

const store = createStore('tuneground-kernels', 'choices')

/** What was measured on an adapter of that name; nothing where none was. */
export async function readKernelChoices(adapter: string): Promise<MeasuredChoices> {
  assertStorageAllowed()
  return (await get<MeasuredChoices>(adapter, store)) ?? {}
}

export async function writeKernelChoices(adapter: string, choices: MeasuredChoices): Promise<void> {
  assertStorageAllowed()
  await set(adapter, choices, store)
}

export async function forgetKernelChoices(adapter: string): Promise<void> {
  assertStorageAllowed()
  await del(adapter, store)
}
