// What the benchmark's contestants answer to, where they run, and what is written down of them.
import type { ProgramTime } from './gpuTimer'
import type { Ours } from './ours'
import type { OptionValues } from '../src/engine/methods/method'
import type { TileSpeed } from './tileSpeeds'

export interface LlamaShape {
  vocabulary: number
  hidden: number
  layers: number
  heads: number
  intermediate: number
}

/** One training step: a model of random weights, a batch of random tokens, and what is trained. */
export interface StepSpec {
  shape: LlamaShape
  batch: number
  time: number
  method: 'allWeights' | 'lora' | 'softPrompt'
  /** Loss at every token, or at each row's last alone. */
  labels: 'all' | 'last'
  /** All rows as long as `time`; where absent, of random lengths from half of it. */
  lengths?: 'whole'
  /** Of the method; where absent, its defaults, and 8 random virtual tokens. */
  options?: OptionValues
  /** Of ours alone: our kernels, or TensorFlow.js's own operations. */
  form?: 'fused' | 'composed'
}

export interface StepTime {
  milliseconds: number
  /** Until all is queued: what JavaScript costs. */
  jsMilliseconds: number
  loss: number
}

export interface Contestant {
  /** Makes model, batch and optimiser ready, and returns an id for the calls below. */
  open(spec: StepSpec): Promise<number>
  /** One whole step, its loss read back. */
  step(id: number): Promise<StepTime>
  close(id: number): void | Promise<void>
}

export interface Contestants {
  ours: Ours
  jaxjs: Contestant
  nanogpt: Contestant
}

/** Where contestants run: `call` makes one ready at its first call. */
export interface Host {
  name: string
  call<Name extends keyof Contestants, Method extends keyof Contestants[Name]>(
    contestant: Name,
    method: Method,
    ...parameters: Parameters<Extract<Contestants[Name][Method], (...parameters: never[]) => unknown>>
  ): Promise<Awaited<ReturnType<Extract<Contestants[Name][Method], (...parameters: never[]) => unknown>>>>
  close(): Promise<void>
}

/** Medians of one contestant's step. Memory and dispatches are known of ours alone. */
export interface StepResult {
  name: string
  milliseconds: number
  jsMilliseconds: number
  tokensPerSecond: number
  loss: number
  dispatches?: number
  residentBytes?: number
  peakBytes?: number
  /** What a step takes beyond weights and optimiser state, by token of its batch. */
  bytesPerToken?: number
}

/** Step time grows as size to the power of `exponent`. */
export interface Growth {
  name: string
  exponent: number
  points: [size: number, milliseconds: number][]
}

/** Where and when something was measured. */
export interface Machine {
  measuredAt: string
  cores: number
  load: number
  rounds: number
}

/** One step of `peers/pytorch.py`; `ratio` is its time over ours, so our steps a second over PyTorch's. */
export interface PyTorchStep {
  name: string
  milliseconds: number
  stepsPerSecond: number
  loss: number
  ratio: number | null
}

export interface PyTorchResult {
  device: string
  /** No graphics card computed. */
  onProcessor: boolean
  versions: Record<string, string>
  steps: PyTorchStep[]
}

/** Steps of a model of about 100 M parameters, and what their matrix products reach of the best that any tile of ours does alone at the same shapes. */
export interface LargeResult extends Machine {
  host: string
  /** The adapter is a processor. */
  software: boolean
  shape: LlamaShape
  batch: number
  time: number
  parameters: number
  steps: StepResult[]
  /** Of all matrix products in a step of all weights together, by timestamps. */
  matmulGigaflops: number | null
  bestGigaflops: number | null
  matmulShareOfPeak: number | null
  matmul: TileSpeed[]
  pytorch?: PyTorchResult
}

/** One adapter's results, as `results/<adapter>.json` keeps them. Ratios are the others' step time over ours; null is not measured. */
export interface Result extends Machine {
  adapter: string
  host: string
  ratios: { composed: number | null; jaxjs: number | null; nanogpt: number | null; frozenToFull: number | null }
  jsMillisecondsPerStep: number | null
  peakToResident: number | null
  dispatches: { full: number | null; softPrompt: number | null }
  steps: StepResult[]
  programs: ProgramTime[]
  matmul: TileSpeed[]
  scaling: Record<string, Growth>
  large?: LargeResult
}

declare global {
  /** Set by each contestant's page once it is ready. */
  var contestant: Record<string, (...parameters: unknown[]) => unknown>
}
