// Which runs the tables of docs/METHODS.md are made of: recipes by row, on each task, under each seed.

/** @typedef {import('../src/headless/request').HeadlessPart} Part */
/**
 * @typedef {object} Row
 * @property {string} id
 * @property {string} title
 * @property {Part[]} parts rates and options that are left out are the registry's
 */
/**
 * @typedef {object} Experiment
 * @property {string} name `<task>-<row>-s<seed>`
 * @property {string} row
 * @property {string} title
 * @property {string} task
 * @property {number} seed
 * @property {number} steps
 * @property {Part[]} parts
 * @property {'methods' | 'help'} table
 */

export const STEPS = 100
export const TASKS = ['reviews', 'headlines', 'symptoms']

/** @param {string} method @param {Part['options']} [options] @param {Partial<Part>} [more] @returns {Part} */
const part = (method, options = {}, more = {}) => ({ method, options, ...more })

/** @type {Row[]} */
export const rows = [
  { id: 'handwrittenPrompt', title: 'Hand-written prompt', parts: [part('handwrittenPrompt')] },
  { id: 'softPrompt', title: 'Soft prompt', parts: [part('softPrompt')] },
  { id: 'prefix', title: 'Prefix', parts: [part('prefix')] },
  { id: 'pTuning', title: 'P-tuning', parts: [part('pTuning')] },
  { id: 'lora', title: 'LoRA', parts: [part('lora')] },
  { id: 'ia3', title: '(IA)³', parts: [part('ia3')] },
  { id: 'biases', title: 'Biases', parts: [part('biases')] },
  { id: 'linearProbe', title: 'Linear probe', parts: [part('linearProbe')] },
  { id: 'lastLayers', title: 'Last layer', parts: [part('lastLayers')] },
  { id: 'allWeights', title: 'All weights', parts: [part('allWeights')] },
  { id: 'prompt+lora', title: 'Soft prompt + LoRA', parts: [part('softPrompt'), part('lora')] },
  { id: 'prompt+lastLayers', title: 'Soft prompt + last layer', parts: [part('softPrompt'), part('lastLayers')] },
  {
    id: 'prompt-then-allWeights',
    title: 'Soft prompt, then all weights',
    parts: [part('softPrompt', {}, { window: { from: 0, to: 0.5 } }), part('allWeights', {}, { window: { from: 0.5, to: 1 } })]
  }
]

/** What may help a soft prompt: one thing changed at a time. @type {{ id: string, title: string, options?: Part['options'], learningRate?: number, steps?: number }[]} */
const helps = [
  { id: 'start-random', title: 'start from random numbers', options: { start: 'random' } },
  { id: 'start-labels', title: 'start from the label words', options: { start: 'labels' } },
  { id: 'start-text', title: 'start from a typed text', options: { start: 'text' } },
  { id: 'length-5', title: '5 virtual tokens', options: { virtualTokens: 5 } },
  { id: 'length-50', title: '50 virtual tokens', options: { virtualTokens: 50 } },
  { id: 'rate-0.03', title: 'learning rate 0.03', learningRate: 0.03 },
  { id: 'rate-0.3', title: 'learning rate 0.3', learningRate: 0.3 },
  { id: 'steps-300', title: '300 steps', steps: 300 }
]

/**
 * All runs, in the order in which they are made: the first seed of everything, then what may help a soft prompt, then the other seeds.
 * @param {readonly number[]} seeds @returns {Experiment[]}
 */
export function experiments(seeds) {
  /** @param {number} seed @returns {Experiment[]} */
  const ofSeed = (seed) =>
    TASKS.flatMap((task) =>
      rows.map(({ id, title, parts }) => ({
        name: `${task}-${id}-s${seed}`,
        row: id,
        title,
        task,
        seed,
        steps: STEPS,
        parts,
        table: 'methods'
      }))
    )
  const [first = 1, ...others] = seeds
  /** @type {Experiment[]} */
  const helping = TASKS.slice(0, 2).flatMap((task) =>
    helps.map(({ id, title, options = {}, learningRate, steps = STEPS }) => {
      const parts = [part('softPrompt', options, learningRate === undefined ? {} : { learningRate })]
      return { name: `${task}-softPrompt-${id}-s${first}`, row: id, title, task, seed: first, steps, parts, table: 'help' }
    })
  )
  return [...ofSeed(first), ...helping, ...others.flatMap(ofSeed)]
}
