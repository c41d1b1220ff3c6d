// Runs the tuner of matrix products when the device is free, and keeps its choices in storage.
import type { DeviceReport } from '../engine/device/report'
import { runner } from '../engine/kernels/webgpu/run'
import { measureAll, measureNext } from '../engine/kernels/webgpu/tileTimer'
import { tunerOf } from '../engine/kernels/webgpu/tuner'
import { forgetKernelChoices, readKernelChoices, writeKernelChoices } from '../storage/kernelChoices'
import type { DeviceQueue } from './deviceQueue'
import type { Tuning, TuningReport } from './tuningCalls'

export class TuningDesk {
  #adapter: string | undefined
  #tuning: Tuning = 'auto'
  #float16 = false
  #isMeasuring = false

  constructor(readonly queue: DeviceQueue) {}

  /** Takes over what was measured on this adapter in an earlier visit; where storage is closed to the page, it is measured anew. */
  async start({ backend, adapter }: DeviceReport): Promise<void> {
    if (backend !== 'webgpu') return
    this.#adapter = adapter
    this.#apply()
    this.#tuner.importChoices(await readKernelChoices(adapter).catch(() => ({})))
  }

  report(): TuningReport {
    if (this.#adapter === undefined) return { available: false, tuning: this.#tuning, choices: {}, pending: 0 }
    return {
      available: true,
      tuning: this.#tuning,
      float16: runner().float16 ? this.#float16 : undefined,
      choices: this.#tuner.exportChoices(),
      pending: this.#tuner.pending
    }
  }

  set(tuning: Tuning, float16: boolean): TuningReport {
    this.#tuning = tuning
    this.#float16 = float16
    if (this.#adapter !== undefined) this.#apply()
    return this.report()
  }

  async reset(): Promise<TuningReport> {
    if (this.#adapter !== undefined) {
      this.#tuner.reset()
      await forgetKernelChoices(this.#adapter).catch(() => undefined)
    }
    return this.report()
  }

  /** Begins to measure what waits, one piece at a time in the device's queue: at once where nothing else goes on, else between two steps. */
  measure(): void {
    const adapter = this.#adapter
    if (adapter === undefined || this.#isMeasuring || this.#tuner.pending === 0) return
    this.#isMeasuring = true
    const piece = async (): Promise<void> => {
      const isChosen = await measureNext(runner())
      if (isChosen) await writeKernelChoices(adapter, this.#tuner.exportChoices()).catch(() => undefined)
    }
    void measureAll(runner(), () => this.queue.run(piece))
      // A device that failed is told where its numbers are used.
      .catch(() => undefined)
      .finally(() => (this.#isMeasuring = false))
  }

  #apply(): void {
    this.#tuner.tuning = this.#tuning
    this.#tuner.float16 = this.#float16
  }

  get #tuner() {
    return tunerOf(runner())
  }
}
