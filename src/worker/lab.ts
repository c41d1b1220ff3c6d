// The prompt lab's work in the worker: one try at a time, and the newest ends the one before.
import { evaluate } from '../engine/evaluation/evaluate'
import { nextTask } from '../engine/nextTask'
import { promptedTask } from '../tasks/handwritten'
import { promptedSplit, type PromptedSplit } from '../tasks/promptedSplit'
import type { TaskData } from '../tasks/task'
import { renderAnswer, renderPrompt } from '../tasks/template'
import type { DeviceQueue } from './deviceQueue'
import type { HandwrittenPrompt, LabApi, PromptPreview, PromptRequest, PromptRoom, PromptScore } from './labCalls'
import type { LoadedModel } from './models'
import type { Loaders } from './openedRuns'
import type { Progress } from './protocol'

/** A prompt and the validation split as it asks it, rendered. */
export function previewPrompt(model: LoadedModel, data: TaskData, prompt: HandwrittenPrompt): PromptPreview {
  const prompted = promptedTask(data, prompt)
  const encoded = promptedSplit(prompted, data.validation, model.tokenizer, model.decoder.config)
  const first = data.validation[0]
  return {
    ...roomOf(encoded, model),
    shown: prompted.shown.map((example) => ({ text: renderPrompt(prompted.task, example), answer: renderAnswer(prompted.task, example) })),
    question: encoded.split.texts[0] ?? '',
    answer: first ? renderAnswer(prompted.task, first) : '',
    tokens: encoded.contextTokens + (encoded.encoded[0]?.promptIds.length ?? 0)
  }
}

/** A prompt's score on the validation split. Between batches `signal` is heeded: then nothing is left on the device, and its reason is thrown. */
export async function scorePrompt(
  model: LoadedModel,
  data: TaskData,
  prompt: HandwrittenPrompt,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal
): Promise<PromptScore> {
  const prompted = promptedTask(data, prompt)
  const encoded = promptedSplit(prompted, data.validation, model.tokenizer, model.decoder.config)
  const { split } = encoded
  const total = split.labels.length
  let loaded = 0
  let batch = 0
  const started = performance.now()
  const { loss, metrics } = await evaluate(model.decoder, split, {}, async () => {
    loaded += new Set(split.batches[batch++]?.examples).size
    onProgress({ stage: 'Asking the model', loaded: Math.min(loaded, total), total, unit: 'examples' })
    await nextTask()
    signal.throwIfAborted()
  })
  return {
    ...roomOf(encoded, model),
    labels: prompted.task.labels.map(({ name }) => name),
    accuracy: metrics.accuracy,
    f1Macro: metrics.macro.f1,
    loss,
    confusion: metrics.confusion,
    seconds: (performance.now() - started) / 1000
  }
}

/** The lab's calls on a session's model, task and device. */
export class PromptLab implements LabApi {
  readonly #loaders: Loaders
  readonly #queue: DeviceQueue
  #under: AbortController | undefined

  constructor(loaders: Loaders, queue: DeviceQueue) {
    this.#loaders = loaders
    this.#queue = queue
  }

  async previewPrompt({ model, task, prompt }: PromptRequest): Promise<PromptPreview> {
    const loaded = await this.#loaders.useModel(model)
    return previewPrompt(loaded, (await this.#loaders.useTask(task)).data, prompt)
  }

  async tryPrompt({ model, task, prompt }: PromptRequest, onProgress: (progress: Progress) => void): Promise<PromptScore | undefined> {
    await this.cancelTry()
    const controller = (this.#under = new AbortController())
    const { signal } = controller
    try {
      const loaded = await this.#loaders.useModel(model)
      const { data } = await this.#loaders.useTask(task)
      return await this.#queue.run(() => {
        signal.throwIfAborted()
        return scorePrompt(loaded, data, prompt, onProgress, signal)
      })
    } catch (error) {
      if (signal.aborted) return undefined
      throw error
    } finally {
      if (this.#under === controller) this.#under = undefined
    }
  }

  cancelTry(): Promise<void> {
    this.#under?.abort()
    return Promise.resolve()
  }
}

function roomOf({ contextTokens, longest, cut, encoded }: PromptedSplit, { decoder }: LoadedModel): PromptRoom {
  return { contextTokens, longest, maximumPositions: decoder.config.maximumPositions, cut, examples: encoded.length }
}
