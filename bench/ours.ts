// Tuneground as a contestant of its own benchmark: steps with fused or composed kernels, and what they cost beside time.
import * as tf from '@tensorflow/tfjs'
import { MemoryMeter } from '../src/engine/device/memory'
import { startDevice } from '../src/engine/device/start'
import { webGpuHandle } from '../src/engine/device/webgpu'
import { runner, useFusedKernels } from '../src/engine/kernels/webgpu/run'
import { measureAll } from '../src/engine/kernels/webgpu/tileTimer'
import type { Batch } from '../src/engine/model/batch'
import type { Decoder } from '../src/engine/model/decoder'
import { median } from '../src/engine/training/accounts'
import type { Trainer } from '../src/engine/training/trainer'
import type { Contestant, StepSpec, StepTime } from './types'
import { timePrograms, type ProgramTime } from './gpuTimer'
import { makeBatch, makeDecoder, makeTrainer } from './steps'
import { measureTiles, type Product, type TileSpeed } from './tileSpeeds'

export interface StepDetails {
  /** Of one step, TensorFlow.js's own included. */
  dispatches: number
  /** Weights and optimiser state: what is held between two steps. */
  residentBytes: number
  /** The most that the run held, the buffers of its replays among it. */
  peakBytes: number
  /** Tensors and bytes that the device holds now. */
  tensors: number
  bytes: number
}

export interface Ours extends Contestant {
  adapterName(): string
  /** The adapter is a processor. */
  isSoftware(): boolean
  /** JavaScript's share of a step when steps follow each other as they do in training: the median of the last half of `steps`, in milliseconds. */
  jsMilliseconds(id: number, steps: number): Promise<number>
  details(id: number): StepDetails
  /** GPU time of one step by program; empty where the device has no timestamps. */
  programs(id: number): Promise<ProgramTime[]>
  tiles(products: Product[], rounds: number): Promise<TileSpeed[]>
}

interface Job {
  spec: StepSpec
  decoder: Decoder
  trainer: Trainer
  batch: Batch
  /** Of the weights that are not tuned. */
  baseBytes: number
  details: StepDetails
}

/** Counts what TensorFlow.js dispatches by itself, beside our runner's count. */
function countOwnDispatches(backend: object): () => number {
  const counting = backend as { recordAndSubmit(...parameters: unknown[]): void }
  const record = counting.recordAndSubmit.bind(backend)
  let count = 0
  counting.recordAndSubmit = (...parameters) => {
    count++
    record(...parameters)
  }
  return () => count
}

export async function ours(): Promise<Ours> {
  const { adapter, software } = await startDevice({ prefer: 'webgpu', wasm: { plain: '', simd: '' } })
  await tf.ready()
  const { backend, report } = webGpuHandle()!
  const ownDispatches = countOwnDispatches(backend)
  const meter = new MemoryMeter()
  const jobs: Job[] = []
  const jobOf = (id: number): Job => {
    const job = jobs[id]
    if (!job) throw new Error(`There is no step ${id}.`)
    return job
  }

  async function step(id: number): Promise<StepTime> {
    const { spec, trainer, batch, baseBytes, details } = jobOf(id)
    useFusedKernels(spec.form !== 'composed')
    await backend.queue.onSubmittedWorkDone()
    const before = runner().dispatches + ownDispatches()
    const started = performance.now()
    const pending = trainer.step(batch)
    const jsMilliseconds = performance.now() - started
    const record = await pending
    const milliseconds = performance.now() - started
    if (record === 'diverged') throw new Error('The step diverged.')
    details.dispatches = runner().dispatches + ownDispatches() - before
    details.peakBytes = baseBytes + trainer.accounts.state.peakBytes
    details.tensors = tf.memory().numTensors
    details.bytes = meter.bytes
    return { milliseconds, jsMilliseconds, loss: record.loss }
  }

  return {
    adapterName: () => adapter,
    isSoftware: () => software,
    step,
    async open(spec) {
      const before = meter.bytes
      const decoder = await makeDecoder(spec.shape)
      const baseBytes = meter.bytes - before
      // A trainer's optimiser is of the form that runs when it is made.
      useFusedKernels(spec.form !== 'composed')
      const trainer = await makeTrainer(spec, decoder, meter)
      const details = { dispatches: 0, residentBytes: 0, peakBytes: 0, tensors: 0, bytes: 0 }
      const id = jobs.push({ spec, decoder, trainer, batch: makeBatch(spec), baseBytes, details }) - 1
      // Optimiser state may be made by the first step, which also meets the products that the tuner times where it does in the product: on graphics cards.
      await step(id)
      await measureAll(runner(), (piece) => piece())
      // This one asks for the programs that were chosen; they are compiled behind the steps.
      await step(id)
      await runner().settled
      details.residentBytes = meter.bytes - before
      return id
    },
    details: (id) => jobOf(id).details,
    async jsMilliseconds(id, steps) {
      const times: number[] = []
      for (let at = 0; at < steps; at++) times.push((await step(id)).jsMilliseconds)
      return median(times.slice(Math.floor(steps / 2)))
    },
    async programs(id) {
      const { spec, trainer, batch } = jobOf(id)
      useFusedKernels(spec.form !== 'composed')
      return report.features.includes('timestamp-query') ? timePrograms(backend, runner(), () => trainer.step(batch)) : []
    },
    tiles: (products, rounds) => measureTiles(products, rounds),
    close(id) {
      const { trainer, decoder } = jobOf(id)
      trainer.dispose()
      decoder.dispose()
      // The next model may need all of the memory.
      runner().trim()
    }
  }
}
