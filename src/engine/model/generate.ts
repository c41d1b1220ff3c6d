// Continues texts token by token: one as its tokens come, or many at once to their ends.
import * as tf from '@tensorflow/tfjs'
import type { Adaptation } from '../methods/method'
import { nextTask } from '../nextTask'
import type { Random } from '../random'
import { Continuation } from './continuation'
import type { Decoder } from './decoder'
import { sampleToken, type SamplingOptions } from './sampling'

interface Ending {
  maximumTokens: number
  /** Generation ends before one of these; the model's own end tokens are not among them unless given. */
  stopTokens?: readonly number[]
}

export interface GenerateOptions extends SamplingOptions, Ending {
  random: Random
  adaptation?: Adaptation
  /** Ends generation before the next token. */
  signal?: AbortSignal
}

/**
 * Yields the continuation's token ids as they come, up to `maximumTokens`, a stop token, an abort or the model's last position.
 * Tensors are freed whenever the consumer stops.
 * @throws UserError where the prompt is empty or, virtual tokens and prefix included, longer than the model's positions
 */
export async function* generate(decoder: Decoder, prompt: readonly number[], options: GenerateOptions): AsyncGenerator<number, void, void> {
  const { adaptation, signal, random, stopTokens = [], maximumTokens } = options
  const text = new Continuation(decoder, [prompt], adaptation)
  try {
    let logits = text.start()
    for (let count = 0; count < maximumTokens; count++) {
      const values = (await logits.data()) as Float32Array
      logits.dispose()
      if (signal?.aborted) return
      const token = sampleToken(values, options, random)
      if (stopTokens.includes(token)) return
      yield token
      if (signal?.aborted || count + 1 === maximumTokens || text.isFull(0)) return
      logits = text.advance([token])
    }
  } finally {
    text.dispose()
  }
}

export interface GreedyOptions extends Ending {
  adaptation?: Adaptation
  /** Awaited before each further token, by default the next task of the event loop, so that commands arrive; what it throws ends generation. */
  between?: () => Promise<void>
}

/**
 * The most probable continuation of each prompt, all in one batch: the same tokens as `generate` gives each alone at temperature 0.
 * @throws UserError as `generate` does
 */
export async function generateGreedily(
  decoder: Decoder,
  prompts: readonly (readonly number[])[],
  { maximumTokens, stopTokens = [], adaptation, between = nextTask }: GreedyOptions
): Promise<number[][]> {
  const batch = new Continuation(decoder, prompts, adaptation)
  const texts: number[][] = prompts.map(() => [])
  const isOver = prompts.map(() => maximumTokens === 0)
  try {
    let best = mostProbable(batch.start())
    for (;;) {
      const tokens = await best.data()
      best.dispose()
      texts.forEach((text, i) => {
        if (isOver[i]) return
        const token = tokens[i]!
        if (!stopTokens.includes(token)) text.push(token)
        isOver[i] = stopTokens.includes(token) || text.length === maximumTokens || batch.isFull(i)
      })
      if (!isOver.includes(false)) return texts
      await between()
      best = mostProbable(batch.advance(texts.map((text, i) => (isOver[i] ? undefined : text.at(-1)))))
    }
  } finally {
    batch.dispose()
  }
}

/** `[rows]` int32 from `[rows, vocabulary]` logits, which are freed; the first of equals. */
function mostProbable(logits: tf.Tensor2D): tf.Tensor1D {
  const best = tf.argMax<tf.Tensor1D>(logits, 1)
  logits.dispose()
  return best
}
