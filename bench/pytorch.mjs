// Runs peers/pytorch.py with the same steps as ours and reads what it took; says what is missing where it cannot run.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import * as v from 'valibot'

const SCRIPT = fileURLToPath(new URL('peers/pytorch.py', import.meta.url))

const Answer = v.union([
  v.object({ missing: v.array(v.string()) }),
  v.object({
    device: v.string(),
    onProcessor: v.boolean(),
    versions: v.record(v.string(), v.string()),
    steps: v.array(v.object({ name: v.string(), milliseconds: v.pipe(v.number(), v.gtValue(0)), loss: v.number() }))
  })
])

/**
 * @param {string} text what the program printed
 * @returns {v.InferOutput<typeof Answer> | undefined} undefined where that is no answer of it
 */
export function parseAnswer(text) {
  try {
    const parsed = v.safeParse(Answer, JSON.parse(text))
    return parsed.success ? parsed.output : undefined
  } catch {
    return undefined
  }
}

/**
 * @param {string} python interpreter
 * @param {{ steps: { name: string, spec: import('./types').StepSpec }[], rounds: number, warmUp: number }} work
 * @param {import('./types').StepResult[]} ours the same steps by name
 * @returns {Promise<import('./types').PyTorchResult | undefined>} undefined where it was left out, which is told in the terminal
 */
export async function measurePyTorch(python, work, ours) {
  const text = await answerOf(python, JSON.stringify(work))
  const answer = text === undefined ? undefined : parseAnswer(text)
  if (!answer || 'missing' in answer) {
    const reason =
      text === undefined ? `there is no ${python}` : answer ? `${python} lacks ${answer.missing.join(', ')}` : `${python} failed, see above`
    console.log(`PyTorch is left out: ${reason}. Name an interpreter that has torch, transformers and peft with --python PATH.`)
    return undefined
  }
  return withRatios(answer, ours)
}

/**
 * @param {Exclude<v.InferOutput<typeof Answer>, { missing: string[] }>} answer @param {Pick<import('./types').StepResult, 'name' | 'milliseconds'>[]} ours
 * @returns {import('./types').PyTorchResult}
 */
export function withRatios(answer, ours) {
  return {
    ...answer,
    steps: answer.steps.map((step) => {
      const own = ours.find(({ name }) => name === step.name)
      return { ...step, stepsPerSecond: 1000 / step.milliseconds, ratio: own ? step.milliseconds / own.milliseconds : null }
    })
  }
}

/** @param {string} python @param {string} input @returns {Promise<string | undefined>} what it printed, or undefined where it does not start */
function answerOf(python, input) {
  return new Promise((resolve) => {
    const child = spawn(python, [SCRIPT], { stdio: ['pipe', 'pipe', 'inherit'] })
    let text = ''
    child.stdout.setEncoding('utf8').on('data', (/** @type {string} */ part) => (text += part))
    child.on('error', () => resolve(undefined))
    child.on('close', () => resolve(text))
    // One that ends early says so by what it prints.
    child.stdin.on('error', () => undefined)
    child.stdin.end(input)
  })
}
