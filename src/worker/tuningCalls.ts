// The calls about how matrix products are tiled on this device.
import type { MeasuredChoices, Tuning } from '../engine/kernels/webgpu/tuner'

export type { MeasuredChoice, MeasuredChoices, Tuning } from '../engine/kernels/webgpu/tuner'

export interface TuningReport {
  /** False where another backend than WebGPU computes: there is nothing to choose. */
  available: boolean
  tuning: Tuning
  /** Whether products may be computed in float16; undefined where the device cannot. */
  float16?: boolean
  choices: MeasuredChoices
  /** Sizes that were met and wait for an idle moment. */
  pending: number
}

export interface TuningApi {
  tuningReport(): Promise<TuningReport>
  /** Takes effect with the next product. */
  setTuning(tuning: Tuning, float16: boolean): Promise<TuningReport>
  /** Forgets what was measured on this adapter, in storage too. */
  resetTuning(): Promise<TuningReport>
}
