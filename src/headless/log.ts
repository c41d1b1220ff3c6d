// A race as lines on standard error, and what its result needs of its events.
import type { RaceSettings } from '../engine/training/recipe'
import type { Curve, RunResult } from '../engine/training/records'
import type { RaceEvent } from '../worker/protocol'

/** Accuracy where there are labels, else the perplexity. */
const validationLine = (loss: number, accuracy?: number): string =>
  `validation loss ${loss.toFixed(4)}, ${accuracy === undefined ? `perplexity ${Math.exp(loss).toPrecision(4)}` : `accuracy ${accuracy.toFixed(3)}`}`

/** Turns events into progress lines, at most one step line a second, and keeps what the result needs. */
export class Log {
  readonly curve: Curve = { steps: [], validation: [] }
  result: RunResult | undefined
  problem: { message: string; advice: string } | undefined
  #secondsLeft = ''
  #lastLine = 0

  constructor(readonly settings: RaceSettings) {}

  receive(event: RaceEvent): void {
    switch (event.type) {
      case 'phase':
        return this.#say(event.detail || event.phase)
      case 'untrained':
        return this.#say(`untrained: ${validationLine(event.validationLoss, event.accuracy)}`)
      case 'step':
        this.curve.steps.push(event.record)
        if (performance.now() - this.#lastLine > 1000) {
          this.#say(`${this.#stepName(event.record.step)}: loss ${event.record.loss.toFixed(4)}${this.#secondsLeft}`)
        }
        return
      case 'validation': {
        const { step, loss, accuracy } = event.record
        this.curve.validation.push(event.record)
        return this.#say(`${this.#stepName(step)}: ${validationLine(loss, accuracy)}${this.#secondsLeft}`)
      }
      case 'time-left':
        this.#secondsLeft = `, ${Math.ceil(event.seconds)} s left`
        return
      case 'run-stopped':
        return this.#say(`stopped (${event.reason}); best step ${event.bestStep}`)
      case 'problem':
        this.problem = { message: event.message, advice: event.advice }
        return
      case 'result':
        this.result = event.result
        return
      case 'cost':
      case 'estimate':
      case 'memory':
      case 'checkpoint':
        return
    }
  }

  #stepName(step: number): string {
    return this.settings.budget.kind === 'steps' ? `step ${step}/${this.settings.budget.steps}` : `step ${step}`
  }

  #say(line: string): void {
    this.#lastLine = performance.now()
    window.reportProgress(line)
  }
}
