// Long work that people can pause, go on with and stop: what it asks between two of its pieces.
import { nextTask } from '../nextTask'
import type { RaceCommand } from './events'

export class PauseControl {
  readonly #between: () => Promise<void>
  readonly #onPause: (paused: boolean) => void
  #paused = false
  #stopped = false
  #wake: () => void = () => undefined

  /**
   * @param between awaited with each `hold`: lets other work on the device in
   * @param onPause told when the work comes to a halt and when it goes on
   */
  constructor(between: () => Promise<void>, onPause: (paused: boolean) => void) {
    this.#between = between
    this.#onPause = onPause
  }

  /** Honoured at the next `hold`. `step` means nothing here, and goes on. */
  command(command: RaceCommand): void {
    this.#paused = command === 'pause'
    this.#stopped ||= command === 'stop'
    this.#wake()
  }

  get isStopped(): boolean {
    return this.#stopped
  }

  /** Lets commands in, and waits while paused. */
  async hold(): Promise<void> {
    await nextTask()
    await this.#between()
    if (!this.#paused || this.#stopped) return
    this.#onPause(true)
    while (this.#paused && !this.#stopped) await new Promise<void>((resolve) => (this.#wake = resolve))
    this.#onPause(false)
  }
}
