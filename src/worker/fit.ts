// Judges what fits on this device: opens model and task as far as shapes need it, and holds the estimates against the limits.
import { memoryReport, type MemoryReport } from '../engine/device/limits'
import { probeRate } from '../engine/device/probe'
import type { DeviceReport } from '../engine/device/report'
import { UserError } from '../engine/errors'
import { canPack } from '../engine/kernels/packed'
import type { TrainedOn } from '../engine/methods/method'
import { raceBytes, raceProblem, runProblem, type FitProblem, type MemoryLimits } from '../engine/training/fit'
import { estimateStep, evaluationBytes } from '../engine/training/memoryEstimate'
import { virtualTokens, type BatchShape, type HeldBase } from '../engine/training/stepMemory'
import { stepWork } from '../engine/training/stepWork'
import type { RaceData } from '../engine/training/data'
import type { RaceEvent, RunRequest } from '../engine/training/events'
import type { FitReport, FitRequest, RunFit } from './fitCalls'

/** What an estimate is made from. */
export interface FitSubject {
  on: TrainedOn
  base: HeldBase
  data: RaceData
}

export class FitDesk {
  #chosen: number | undefined
  readonly #rates = new Map<string, number>()

  setMemoryBudget(bytes: number | undefined): void {
    this.#chosen = bytes
  }

  memory({ backend }: DeviceReport): MemoryReport {
    const { deviceMemory } = navigator as { deviceMemory?: number }
    return memoryReport(backend, deviceMemory, this.#chosen)
  }

  limits(device: DeviceReport): MemoryLimits {
    return { total: this.memory(device).bytes, tensor: device.maximumBufferBytes }
  }

  /** Times the device for this model, once; `work` puts the probe in turn with all else. */
  async measureRate(
    { on: { config }, data }: FitSubject,
    batchSize: number,
    work: <T>(probe: () => Promise<T>) => Promise<T>
  ): Promise<number> {
    const key = `${config.hiddenSize} ${config.intermediateSize}`
    const { size, time } = largestBatch(data, batchSize)
    const rate = this.#rates.get(key) ?? (await work(() => probeRate(config.hiddenSize, config.intermediateSize, size * time)))
    this.#rates.set(key, rate)
    return rate
  }

  report({ runs, race }: Pick<FitRequest, 'runs' | 'race'>, subject: FitSubject, device: DeviceReport, rate?: number): FitReport {
    const { on, base, data } = subject
    const limits = this.limits(device)
    const judged = runs.map(({ id, name, recipe }): RunFit => {
      const batch = largestBatch(data, recipe.batchSize)
      const problem = runProblem({ name, recipe, batch }, on, base, limits)
      return {
        run: id,
        estimate: estimateStep(recipe, batch, on, base),
        ...(rate ? { secondsPerStep: stepWork(recipe, batch, on) / rate } : {}),
        ...(problem ? { problem } : {})
      }
    })
    const racing = race.flatMap((id) => judged.find(({ run }) => run === id) ?? [])
    const bytes = raceBytes(
      racing.map(({ estimate }) => estimate),
      this.#evaluation(
        runs.filter(({ id }) => race.includes(id)),
        subject
      )
    )
    const problem = racing.find((run) => run.problem)?.problem ?? raceProblem(bytes, racing.length, limits)
    return {
      batch: largestBatch(data, runs[0]?.recipe.batchSize ?? 1),
      runs: judged,
      race: { bytes, ...(problem ? { problem } : {}) },
      memory: this.memory(device),
      maximumTensorBytes: device.maximumBufferBytes,
      packs: canPack()
    }
  }

  #evaluation(runs: readonly RunRequest[], { on, base, data }: FitSubject): number {
    const shapes = [...data.validation.batches, ...data.test.batches]
      .map((entry) => ('batch' in entry ? entry.batch : entry))
      .concat(data.general)
      .map(({ size, time, labelRows }): BatchShape => ({ size, time, labelRows: labelRows.length }))
    const virtual = Math.max(0, ...runs.map(({ recipe }) => virtualTokens(recipe, on)))
    return evaluationBytes(shapes, on, virtual, base.fused)
  }
}

/** Throws a `UserError` with what would fit, where a race does not. */
export function assertFits({ race: { problem } }: FitReport): void {
  if (problem) throw new UserError(problem.message, problem.advice)
}

/** What the page is told before the first step: bytes of the whole race, and of each run beyond the weights that all share. */
export function estimateOf({ race, runs }: FitReport): RaceEvent {
  return {
    type: 'estimate',
    raceBytes: race.bytes,
    runs: Object.fromEntries(runs.map(({ run, estimate: { peak, base } }) => [run, peak - base]))
  }
}

/** Why a model cannot be held at all, or undefined. */
export function baseProblem({ total, largest }: HeldBase, limits: MemoryLimits): FitProblem | undefined {
  const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1e6)} MB`
  if (limits.total === undefined || total <= limits.total || largest > limits.tensor) return undefined
  return {
    message: `This model takes ${megabytes(total)}, and ${megabytes(limits.total)} are there.`,
    advice: 'Choose a smaller model, hold its weights in fewer bytes, or allow more memory.'
  }
}

/** Batches that are looked at for the largest: an epoch of all but the largest tasks. */
const BATCHES = 1000

/** The longest batch of an epoch at that size. */
export function largestBatch(data: Pick<RaceData, 'trainingBatches'>, batchSize: number): BatchShape {
  const batches = data.trainingBatches(batchSize, 1)
  let largest: BatchShape = { size: batchSize, time: 0, labelRows: 0 }
  for (let i = 0; i < BATCHES && batches.state.epoch === 0; i++) {
    const { size, time, labelRows } = batches.next()
    if (size * time >= largest.size * largest.time) largest = { size, time, labelRows: Math.max(largest.labelRows, labelRows.length) }
  }
  return largest
}
