// Which training steps are replayed: those whose shapes were seen before, once two recordings of them agree.
import type * as tf from '@tensorflow/tfjs'
import type { StepArrays } from '../hostArrays'
import { isSameStep, record, type Recording } from '../kernels/webgpu/recording'
import { Replay } from '../kernels/webgpu/replay'
import { isWebGpu, runner, type Runner } from '../kernels/webgpu/run'

/** Shapes whose replays are kept; the one that was not used for longest gives way. Their working memory is shared. */
const KEPT = 8

/** Recordings that may differ from the one before until a shape is left to the tape. */
const TRIES = 4

interface Captured {
  seen: number
  tries: number
  recording?: Recording
  replay?: Replay
  /** The programs that were the best ones when it was recorded. */
  revision: number
  /** The longest text that the tape has let through: a longer one may be too long for the model. */
  longest: number
}

export interface StepToRun {
  /** Equal for steps that differ in the contents of their arrays alone. */
  key: string
  arrays: StepArrays
  /** Real tokens of the longest text. */
  longest: number
  /** Queues the step on the tape. The caller owns the result: `[2]` float32. */
  tape: () => tf.Tensor1D
}

export interface StepResult {
  /** What the step's result holds. */
  values: Float32Array
  /** Bytes that a replay works in; 0 on the tape, whose bytes are those of its tensors. */
  workingBytes: number
}

/** Runs steps on the tape or as replays, whichever it can. Only WebGPU has replays. */
export class CapturedSteps {
  readonly #captured = new Map<string, Captured>()

  /** Queues one step and reads its result. */
  async run({ key, arrays, longest, tape }: StepToRun): Promise<StepResult> {
    const run = isWebGpu() ? runner() : undefined
    if (!run || run.observer) return this.onTape(tape)
    const captured = this.#latest(key, run)
    const { replay } = captured
    if (replay && longest <= captured.longest) return { values: await replay.play(arrays), workingBytes: replay.bytes }
    captured.longest = Math.max(captured.longest, longest)
    if (captured.seen === 0) await run.prepare(() => tape().dispose())
    if (replay || captured.seen++ === 0 || captured.tries >= TRIES) return this.onTape(tape)
    captured.tries++
    return this.onTape(() => {
      const { result, recording } = record(run, arrays, tape)
      if (recording && captured.recording && isSameStep(recording, captured.recording)) {
        captured.replay = new Replay(run, recording)
        captured.recording = undefined
        run.trim()
      } else captured.recording = recording
      return result
    })
  }

  /** Queues a step that is not to be replayed, and reads its result. */
  async onTape(tape: () => tf.Tensor1D): Promise<StepResult> {
    const result = tape()
    try {
      return { values: (await result.data()) as Float32Array, workingBytes: 0 }
    } finally {
      result.dispose()
    }
  }

  /** Lets go of all replays: of tensors that are no longer the trained ones, or at the end. */
  clear(): void {
    for (const key of [...this.#captured.keys()]) this.#drop(key)
  }

  /** The shape's entry, now the latest used. One that was recorded with lesser programs begins anew. */
  #latest(key: string, run: Runner): Captured {
    let captured = this.#captured.get(key)
    if (captured && captured.revision !== run.revision) {
      this.#drop(key)
      captured = { ...captured, tries: 0, recording: undefined, replay: undefined, revision: run.revision }
    }
    captured ??= { seen: 0, tries: 0, revision: run.revision, longest: 0 }
    this.#captured.delete(key)
    this.#captured.set(key, captured)
    const oldest = this.#captured.keys().next().value
    if (this.#captured.size > KEPT && oldest !== undefined) this.#drop(oldest)
    return captured
  }

  #drop(key: string): void {
    this.#captured.get(key)?.replay?.dispose()
    this.#captured.delete(key)
  }
}
