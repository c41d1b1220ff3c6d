// Prompt tuning (Lester et al. 2021): a few trained vectors in front of the frozen model's embedded tokens.
import type * as tf from '@tensorflow/tfjs'
import { UserError } from '../errors'
import type { Method, MethodContext, OptionValues } from './method'

export const softPrompt: Method = {
  id: 'softPrompt',
  title: 'Soft prompt',
  tier: 'main',
  summary:
    'Freezes the model and learns a few invisible words in front of every text: a tiny file, and nothing is forgotten once it is taken off.',
  paper: {
    title: 'The Power of Scale for Parameter-Efficient Prompt Tuning',
    authors: 'Lester, Al-Rfou and Constant',
    year: 2021,
    url: 'https://arxiv.org/abs/2104.08691'
  },
  trains: true,
  changesBase: false,
  options: {
    virtualTokens: {
      kind: 'integer',
      label: 'Virtual tokens',
      help: 'How many learned vectors stand in front of the text; more can say more, but each makes every step and every answer slower.',
      default: 20,
      minimum: 1,
      maximum: 100
    },
    start: {
      kind: 'choice',
      label: 'Start from',
      help: 'What the virtual tokens are before the first step; real words are usually a better start than random numbers.',
      default: 'vocabulary',
      choices: [
        { value: 'random', label: 'Random numbers' },
        { value: 'vocabulary', label: 'Random words' },
        { value: 'labels', label: 'The label words' },
        { value: 'text', label: 'A text of mine' },
        { value: 'saved', label: 'A saved prompt' }
      ]
    },
    text: {
      kind: 'text',
      label: 'Text',
      help: 'Its tokens become the first virtual tokens, repeated or cut to the number above.',
      default: 'Is this text positive or negative?',
      when: { option: 'start', value: 'text' }
    },
    savedRun: {
      kind: 'run',
      label: 'Saved prompt',
      help: 'The run of the library whose soft prompt this one begins as, learnt on another task or made by meta-learning.',
      default: '',
      when: { option: 'start', value: 'saved' }
    }
  },
  positions: (options) => settings(options).virtualTokens,
  defaults: {
    learningRate: 0.1,
    weightDecay: 0,
    source:
      'Sweep over 0.03, 0.1 and 0.3 (docs/SWEEPS.md): after 100 steps the highest macro F1 of the three on reviews (0.57) and headlines (0.48); 0.61 on reviews after 300.'
  },

  async initialParameters(context, options) {
    const { virtualTokens: count, start } = settings(options)
    const { maximumPositions, hiddenSize } = context.config
    if (count >= maximumPositions) {
      throw new UserError(
        `${count} virtual tokens leave no room for a text: this model reads ${maximumPositions} tokens at most.`,
        `Use fewer than ${maximumPositions} virtual tokens, or a model with a longer context.`
      )
    }
    const values = new Float32Array(count * hiddenSize)
    if (start === 'random') {
      const deviation = standardDeviation(await context.embeddingsOf(evenSample(context.config.vocabularySize)))
      values.forEach((_, i) => (values[i] = deviation * context.random.normal()))
    } else if (start === 'saved') {
      return { virtualTokens: context.tensor(savedStart(context, options), [count, hiddenSize]) }
    } else {
      const tokens = startTokens(context, options)
      const embeddings = await context.embeddingsOf(tokens.flat())
      let at = 0
      tokens.forEach((ids, row) => {
        for (let i = 0; i < ids.length; i++)
          for (let j = 0; j < hiddenSize; j++) values[row * hiddenSize + j]! += embeddings[at++]! / ids.length
      })
    }
    return { virtualTokens: context.tensor(values, [count, hiddenSize]) }
  },

  adaptation: (parameters) => ({ virtualTokens: parameters.virtualTokens as tf.Tensor2D }),

  trainedShapes: ({ config }, options) => ({ virtualTokens: [settings(options).virtualTokens, config.hiddenSize] })
}

function settings(options: OptionValues) {
  const { virtualTokens, start, text, savedRun } = options as { virtualTokens: number; start: string; text: string; savedRun: string }
  return { virtualTokens, start, text, savedRun }
}

/** The rows of the saved prompt (SPoT, Vu et al. 2022), repeated or cut to the number of virtual tokens. */
function savedStart({ saved, config: { hiddenSize } }: MethodContext, options: OptionValues): Float32Array {
  const { virtualTokens: count, savedRun } = settings(options)
  const prompt = saved.get(savedRun)
  if (!prompt) throw new UserError('The saved prompt to start from is not there.', 'Choose a run of the library that has a soft prompt.')
  const [rows, width] = prompt.shape
  if (width !== hiddenSize) {
    throw new UserError(
      `The prompt of "${prompt.name}" has vectors of ${width} numbers, and this model reads vectors of ${hiddenSize}.`,
      'Choose a prompt that was learnt on this model, or another start.'
    )
  }
  const values = new Float32Array(count * width)
  for (let row = 0; row < count; row++) {
    const from = (row % rows) * width
    values.set(prompt.data.subarray(from, from + width), row * width)
  }
  return values
}

/** For each virtual token the ids whose mean embedding it starts from. A label of several tokens is one mean (Lester 2021, section 3.2). */
function startTokens(context: MethodContext, options: OptionValues): number[][] {
  const { virtualTokens: count, start, text } = settings(options)
  if (start === 'text') {
    const ids = context.encode(text)
    if (ids.length === 0) throw new UserError('The start text of the soft prompt is empty.', 'Type some words, or choose another start.')
    return Array.from({ length: count }, (_, i) => [ids[i % ids.length]!])
  }
  const labels = start === 'labels' ? context.labelWords.map((word) => context.encode(word)).filter((ids) => ids.length > 0) : []
  const sample = vocabularySample(context, count).map((id) => [id])
  return [...labels, ...sample].slice(0, count)
}

/** `count` ids of ordinary tokens, each at most once while there are enough. */
function vocabularySample({ config, random }: MethodContext, count: number): number[] {
  const special = new Set([config.beginToken, config.padToken, ...config.endTokens])
  const ordinary = Array.from({ length: config.vocabularySize }, (_, id) => id).filter((id) => !special.has(id))
  const sample: number[] = []
  while (sample.length < count) sample.push(...random.shuffle(ordinary))
  return sample.slice(0, count)
}

/** So many ids suffice for a standard deviation; a large vocabulary is never read as a whole. */
const SAMPLED_TOKENS = 4096

function evenSample(vocabularySize: number): number[] {
  const length = Math.min(vocabularySize, SAMPLED_TOKENS)
  return Array.from({ length }, (_, i) => Math.floor((i * vocabularySize) / length))
}

function standardDeviation(values: Float32Array): number {
  let sum = 0
  for (const value of values) sum += value
  const mean = sum / values.length
  let squares = 0
  for (const value of values) squares += (value - mean) ** 2
  return Math.sqrt(squares / values.length)
}
