// Several models that write at once: on the device in short turns, so that a race goes on in between.
import { tunedAdaptation } from '../engine/methods/tuned'
import type { Adaptation } from '../engine/methods/method'
import { generate } from '../engine/model/generate'
import { nextTask } from '../engine/nextTask'
import { Random } from '../engine/random'
import { createStreamDecoder } from '../engine/tokenizer/streamDecoder'
import type { Task } from '../tasks/task'
import type { PromptedTask } from '../tasks/handwritten'
import { promptIds, readPrompt } from './answers'
import type { DeviceQueue } from './deviceQueue'
import type { LoadedModel } from './models'
import type { OpenedRun } from './openedRuns'
import type { StreamRequest, StreamedText } from './streamCalls'

/** Computing time of a turn: short enough that Stop and a race's next step do not wait, long enough that a race does not slow the text to a crawl. */
const TURN_MILLISECONDS = 80

/** Tuned tensors that may lie on the device at once, in bytes; models with more than that write one after the other. */
const MAXIMUM_BYTES = 512 * 1024 * 1024

/** A model with what makes it one: nothing for the untouched base. */
export type Writer = { run: string; prompted?: PromptedTask | undefined } & Partial<Pick<OpenedRun, 'recipe' | 'tensors'>>

export class AnswerStreams {
  readonly #queue: DeviceQueue
  #abort = new AbortController()
  #under: Promise<void> = Promise.resolve()

  constructor(queue: DeviceQueue) {
    this.#queue = queue
  }

  /** As `StreamApi.stream`, of models that are known. */
  async write(
    model: LoadedModel,
    task: Task,
    writers: readonly Writer[],
    request: StreamRequest,
    onTexts: (texts: StreamedText[]) => void
  ): Promise<void> {
    await this.stop()
    const { signal } = (this.#abort = new AbortController())
    const texts = writers.map(({ run }): StreamedText => ({ run, text: '', tokens: 0, tokensPerSecond: undefined, isOver: false }))
    const work = this.#writeInTurn(model, task, writers, request, texts, onTexts, signal)
    this.#under = work.catch(() => undefined)
    await work
  }

  /** Resolves when nothing of a stream is on the device any more. */
  stop(): Promise<void> {
    this.#abort.abort()
    return this.#under
  }

  async #writeInTurn(
    model: LoadedModel,
    task: Task,
    writers: readonly Writer[],
    request: StreamRequest,
    texts: StreamedText[],
    onTexts: (texts: StreamedText[]) => void,
    signal: AbortSignal
  ): Promise<void> {
    const tell = (): void => onTexts(texts.map((text) => ({ ...text })))
    for (const group of groups(writers)) {
      const streams = group.map((place) => new Stream(texts[place]!, tokensOf(model, task, writers[place]!, request), model))
      try {
        while (!signal.aborted && streams.some(({ told }) => !told.isOver)) {
          await this.#queue.run(() => takeTurn(streams, signal))
          tell()
          await nextTask()
        }
      } finally {
        await this.#queue.run(async () => {
          for (const stream of streams) await stream.end()
        })
      }
    }
    texts.forEach((text) => (text.isOver = true))
    tell()
  }
}

/** Places of writers that write together. */
function groups(writers: readonly Writer[]): number[][] {
  const bytes = ({ tensors = {} }: Writer): number => Object.values(tensors).reduce((sum, { data }) => sum + data.byteLength, 0)
  const places = writers.map((_, place) => place)
  return writers.reduce((sum, writer) => sum + bytes(writer), 0) <= MAXIMUM_BYTES ? [places] : places.map((place) => [place])
}

/** A token each, again and again, until the turn is over or all have ended. */
async function takeTurn(streams: readonly Stream[], signal: AbortSignal): Promise<void> {
  const started = performance.now()
  do {
    for (const stream of streams) if (!stream.told.isOver && !signal.aborted) await stream.advance()
  } while (!signal.aborted && streams.some(({ told }) => !told.isOver) && performance.now() - started < TURN_MILLISECONDS)
}

/** The tokens that a model writes; its tuned tensors are on the device from the first one to the end. */
async function* tokensOf(
  model: LoadedModel,
  task: Task,
  { recipe, tensors, prompted }: Writer,
  { fields, sampling, maximumTokens, seed }: StreamRequest
): AsyncGenerator<number, void, void> {
  const { decoder } = model
  const read = prompted && readPrompt(model, prompted)
  const tuned = !read && recipe && tensors ? tunedAdaptation(recipe.parts, tensors, decoder.config) : undefined
  const adaptation: Adaptation = read?.adaptation ?? tuned?.adaptation ?? {}
  try {
    const prompt = promptIds(model, prompted?.task ?? task, fields, maximumTokens, adaptation, read?.frame)
    const options = { ...sampling, maximumTokens, random: new Random(seed), stopTokens: decoder.config.endTokens, adaptation }
    yield* generate(decoder, prompt, options)
  } finally {
    tuned?.dispose()
    read?.dispose()
  }
}

/** One model's text as it grows. */
class Stream {
  readonly #tokens: AsyncGenerator<number, void, void>
  readonly #decoder: ReturnType<typeof createStreamDecoder>
  #milliseconds = 0

  constructor(
    readonly told: StreamedText,
    tokens: AsyncGenerator<number, void, void>,
    { tokenizer }: LoadedModel
  ) {
    this.#tokens = tokens
    this.#decoder = createStreamDecoder(tokenizer, { skipSpecialTokens: true })
  }

  /** The next token, or the end. */
  async advance(): Promise<void> {
    const { told } = this
    const started = performance.now()
    const next = await this.#tokens.next()
    if (next.done) {
      told.text += this.#decoder.flush()
      told.isOver = true
      return
    }
    this.#milliseconds += performance.now() - started
    told.text += this.#decoder.push(next.value)
    told.tokens++
    told.tokensPerSecond = (1000 * told.tokens) / this.#milliseconds
  }

  /** Frees what it holds, wherever it stands. */
  async end(): Promise<void> {
    if (!this.told.isOver) this.told.text += this.#decoder.flush()
    this.told.isOver = true
    await this.#tokens.return()
  }
}
