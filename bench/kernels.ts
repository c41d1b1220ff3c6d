// Times training steps with fused and with composed kernels, in turn, in this page's WebGPU.
import * as tf from '@tensorflow/tfjs'
import { startDevice } from '../src/engine/device/start'
import { MemoryMeter } from '../src/engine/device/memory'
import { webGpuHandle } from '../src/engine/device/webgpu'
import { runner, useFusedKernels } from '../src/engine/kernels/webgpu/run'
import { timePrograms, type ProgramTime } from './gpuTimer'
import { makeBatch, makeDecoder, makeTrainer, STEP_CASES, type StepCase } from './steps'

export interface FormResult {
  milliseconds: number
  /** Until all is queued: what JavaScript costs. */
  jsMilliseconds: number
  /** The very first step, shaders compiled. */
  firstMilliseconds: number
  dispatches: number
  peakMegabytes: number
  losses: number[]
}

export interface CaseResult {
  name: string
  adapter: string
  forms: Record<string, FormResult>
  programs: ProgramTime[]
}

const median = (values: number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!

async function measure(step: StepCase, forms: readonly ('fused' | 'composed')[], rounds: number): Promise<CaseResult> {
  const { backend, report } = webGpuHandle()!
  const decoder = await makeDecoder(step.shape)
  const batch = makeBatch(step)
  const meter = new MemoryMeter()
  let ofTensorFlow = 0
  const counting = backend as unknown as { recordAndSubmit(...parameters: unknown[]): void }
  const record = counting.recordAndSubmit.bind(backend)
  counting.recordAndSubmit = (...parameters) => {
    ofTensorFlow++
    record(...parameters)
  }
  const runs = []
  for (const form of forms) {
    // A trainer's optimiser is of the form that runs when it is made.
    useFusedKernels(form === 'fused')
    runs.push({ form, trainer: await makeTrainer(step, decoder), times: [] as number[], js: [] as number[], losses: [] as number[] })
  }
  const results: Record<string, FormResult> = {}
  for (let round = 0; round <= rounds; round++) {
    for (const { form, trainer, times, js, losses } of runs) {
      useFusedKernels(form === 'fused')
      await backend.queue.onSubmittedWorkDone()
      meter.reset()
      const before = runner().dispatches + ofTensorFlow
      const started = performance.now()
      const pending = trainer.step(batch)
      const queued = performance.now() - started
      const record = await pending
      const took = performance.now() - started
      if (record === 'diverged') throw new Error(`${step.name} diverged in its ${form} form.`)
      losses.push(record.loss)
      if (round === 0) {
        results[form] = { milliseconds: 0, jsMilliseconds: 0, firstMilliseconds: took, dispatches: 0, peakMegabytes: 0, losses }
        continue
      }
      times.push(took)
      js.push(queued)
      Object.assign(results[form]!, {
        milliseconds: median(times),
        jsMilliseconds: median(js),
        dispatches: runner().dispatches + ofTensorFlow - before,
        peakMegabytes: meter.peak / 1e6
      })
    }
  }
  delete (counting as Partial<typeof counting>).recordAndSubmit
  useFusedKernels(true)
  const fused = runs.find(({ form }) => form === 'fused')
  const programs =
    fused && report.features.includes('timestamp-query') ? await timePrograms(backend, runner(), () => fused.trainer.step(batch)) : []
  for (const { trainer } of runs) trainer.dispose()
  decoder.dispose()
  return { name: step.name, adapter: report.adapter, forms: results, programs }
}

declare global {
  var measureCase: (at: number, forms: readonly ('fused' | 'composed')[], rounds: number) => Promise<CaseResult>
  var caseNames: string[]
}

await startDevice({ prefer: 'webgpu', wasm: { plain: '', simd: '' } })
await tf.ready()
globalThis.caseNames = STEP_CASES.map(({ name }) => name)
globalThis.measureCase = (at, forms, rounds) => measure(STEP_CASES[at]!, forms, rounds)
