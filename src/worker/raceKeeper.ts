// Keeps a race in storage while it goes on: its phase, its curves, its checkpoints and its results.
import { describeError } from '../engine/errors'
import { withFreshMoments, type Checkpoint } from '../engine/training/checkpoint'
import type { StoredCheckpoints } from '../engine/training/run'
import { loadCheckpoint, loadForResume, saveCheckpoint } from '../storage/checkpoints'
import { createRace, updateRace } from '../storage/races'
import { updateRun } from '../storage/runs'
import type { DeviceReport, RaceEvent, RacePhase, RaceRequest } from './protocol'

export class RaceKeeper {
  readonly #raceId: string
  readonly #report: (event: RaceEvent) => void
  #stored: RacePhase | undefined
  #hasCheckpoint = false
  /** Storage writes go one after the other, so that an older phase never overwrites a newer one. */
  #writes: Promise<void> = Promise.resolve()

  private constructor(raceId: string, report: (event: RaceEvent) => void) {
    this.#raceId = raceId
    this.#report = report
  }

  /** Stores a new race, or finds the checkpoints of one that was stored before. `report` is told what could not be stored or read. */
  static async open(
    request: RaceRequest,
    device: DeviceReport,
    report: (event: RaceEvent) => void
  ): Promise<{ keeper: RaceKeeper; checkpoints: Map<string, StoredCheckpoints> }> {
    const keeper = new RaceKeeper(request.id, report)
    const { backend, adapter } = device
    const stored = await createRace(request, 'preparing', { backend, adapter })
    if (stored.device && stored.device.backend !== backend) {
      report({
        type: 'problem',
        message: `This race began on ${stored.device.adapter} and goes on on ${adapter}.`,
        advice: 'Its losses differ in the last digits from those of an unbroken race.'
      })
    }
    const checkpoints = new Map<string, StoredCheckpoints>()
    for (const { id } of request.runs) {
      const { checkpoint: last, problem } = await loadForResume(id)
      if (problem) report({ type: 'problem', run: id, ...describeError(problem) })
      if (!last) continue
      const best = await loadCheckpoint(id, 'best').catch(() => undefined)
      checkpoints.set(id, { last: last.kind === 'last' ? last : withFreshMoments(last), best })
      keeper.#hasCheckpoint = true
    }
    return { keeper, checkpoints }
  }

  /** Notes what an event changes in storage. */
  note(event: RaceEvent): void {
    if (event.type === 'phase') this.#notePhase(event.phase)
    if (event.type === 'result') this.#write(() => updateRun(event.run, { result: event.result }))
  }

  /** A due checkpoint: makes and stores it, and with it the curve. Rejects where there is no room. */
  async save(runId: string, take: () => Promise<Checkpoint>): Promise<void> {
    const checkpoint = await take()
    await saveCheckpoint(checkpoint)
    this.#hasCheckpoint = true
    this.#write(() => updateRun(runId, { curve: checkpoint.state.curve }))
    await this.#writes
  }

  /** Resolves when everything noted is stored. */
  settled(): Promise<void> {
    return this.#writes
  }

  #notePhase(phase: RacePhase): void {
    // A race that failed behind a checkpoint (a lost device, a closed tab) can go on from there, so it is not given up.
    const kept = phase === 'failed' && this.#hasCheckpoint ? 'paused' : phase
    if (kept === this.#stored) return
    this.#stored = kept
    this.#write(() => updateRace(this.#raceId, { phase: kept }))
  }

  #write(write: () => Promise<unknown>): void {
    this.#writes = this.#writes.then(write).then(
      () => undefined,
      (error: unknown) => this.#report({ type: 'problem', ...describeError(error) })
    )
  }
}
