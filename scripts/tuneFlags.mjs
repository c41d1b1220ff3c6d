// The flags of `npm run tune`: their names, what --help says of them, and their values with the checks that every kind needs.
import { CommandError } from './ensure.mjs'

export const USAGE = `Usage: npm run tune -- [flags]

What to tune
  --model DIR             folder in the Hugging Face layout, F32, F16 or BF16, sharded or not (default public/models/tuneground-2m)
  --task DIR|FILE         task folder (task.json and its splits), or a .csv, .tsv, .json or .jsonl file, split 60/15/25 by seed
  --text-column NAME      of a file; found where it is not given, as are the next three
  --label-column NAME
  --template TEXT         such as "Review: {text} Sentiment:"
  --label-word NAME=WORD  repeatable

How to tune it
  --method ID             such as softPrompt, lora or allWeights (default softPrompt); an unknown one lists them all
  --option KEY=VALUE      of the method, repeatable: --option virtualTokens=20
  --recipe FILE           JSON in place of --method: several parts at once or in stages, each with options and rates:
                          {"parts": [{"method": "softPrompt", "options": {"virtualTokens": 20}, "learningRate": 0.1,
                          "window": {"from": 0, "to": 0.5}}, {"method": "allWeights", "window": {"from": 0.5, "to": 1}}],
                          "schedule": {"kind": "linear", "warmupSteps": 10}, "optimiser": {"clipNorm": 1}, "batchSize": 16};
                          only the parts' methods are needed, and flags win over the file.
                          A soft prompt with "start": "saved" takes a PEFT adapter's folder as "savedRun".
  --adapter DIR           start from a PEFT adapter in place of --method, repeatable; with --steps 0 it is only tested
  --steps N | --seconds N budget (default 100 steps); seconds are training time alone
  --seed N                order of the examples, first values, split of a file (default 1)
  --seeds N,N,...         one run each; the result has their mean and spread
  --batch-size N          --learning-rate X       --weight-decay X        --warmup N
  --schedule constant|linear|cosine               --clip X (0 is none)    --maximum-length N
  --gradient-checkpointing  compute each layer twice, to keep less of it in memory
  --evaluate-every N      validation every N steps (default 20)
  --training-examples N   train on so many only, balanced over the labels (default: all)
  --patience N            stop after N validations without a lower loss (default 0: never)

Where and what comes out
  --backend auto|webgpu|wasm|webgl                (default auto: the fastest)
  --precision stored|float16|int8|float32         how frozen weights are held (default stored; float32 without WebGPU)
  --memory GB             what models and runs may take; beyond it a run is refused (default: what the browser tells)
  --webgpu software|any   WebGPU in software, or whatever the machine has (default software)
  --json FILE             write the result there instead of to standard output
  --export DIR            write what was tuned there: a PEFT adapter, or a Hugging Face folder where the weights themselves were tuned
  --export-as FORM        peft, merged, huggingFace or changed (the changed tensors alone)
  --help

Progress goes to standard error. Exit code 0: done; 1: it could not be; 2: wrong flags; 130: interrupted.`

/** @type {Record<string, { type: 'string' | 'boolean', multiple?: boolean }>} */
export const FLAGS = {
  model: { type: 'string' },
  task: { type: 'string' },
  'text-column': { type: 'string' },
  'label-column': { type: 'string' },
  template: { type: 'string' },
  'label-word': { type: 'string', multiple: true },
  method: { type: 'string' },
  option: { type: 'string', multiple: true },
  steps: { type: 'string' },
  seconds: { type: 'string' },
  seed: { type: 'string' },
  'batch-size': { type: 'string' },
  'learning-rate': { type: 'string' },
  'weight-decay': { type: 'string' },
  warmup: { type: 'string' },
  schedule: { type: 'string' },
  clip: { type: 'string' },
  'evaluate-every': { type: 'string' },
  patience: { type: 'string' },
  'training-examples': { type: 'string' },
  'maximum-length': { type: 'string' },
  'gradient-checkpointing': { type: 'boolean' },
  backend: { type: 'string' },
  precision: { type: 'string' },
  memory: { type: 'string' },
  adapter: { type: 'string', multiple: true },
  recipe: { type: 'string' },
  seeds: { type: 'string' },
  webgpu: { type: 'string' },
  export: { type: 'string' },
  'export-as': { type: 'string' },
  json: { type: 'string' },
  help: { type: 'boolean' }
}

/** @param {string} message */
export const wrong = (message) => new CommandError(`${message}\nSee npm run tune -- --help.`, 2)

/** Flags by name, with the checks that every kind of value needs. */
export class Values {
  /** @param {Record<string, unknown>} values */
  constructor(values) {
    this.values = values
  }

  /** @param {string} name @returns {string | undefined} */
  text(name) {
    return /** @type {string | undefined} */ (this.values[name])
  }

  /** @param {string} name @param {{ minimum: number, whole?: boolean }} limits @returns {number | undefined} */
  number(name, { minimum, whole = true }) {
    const text = this.text(name)
    if (text === undefined) return undefined
    const value = Number(text)
    if (text.trim() === '' || !Number.isFinite(value) || value < minimum || (whole && !Number.isSafeInteger(value))) {
      throw wrong(`--${name} is "${text}"; it takes a ${whole ? 'whole ' : ''}number of at least ${minimum}.`)
    }
    return value
  }

  /** @template {string} T @param {string} name @param {readonly T[]} choices @returns {T | undefined} */
  choice(name, choices) {
    const text = this.text(name)
    const choice = choices.find((candidate) => candidate === text)
    if (text !== undefined && choice === undefined) throw wrong(`--${name} is "${text}"; it takes one of: ${choices.join(', ')}.`)
    return choice
  }

  /** @param {string} name @returns {Record<string, string>} of a repeatable `key=value` flag */
  pairs(name) {
    const texts = /** @type {string[]} */ (this.values[name] ?? [])
    return Object.fromEntries(
      texts.map((text) => {
        const cut = text.indexOf('=')
        if (cut < 1) throw wrong(`--${name} is "${text}"; it takes key=value.`)
        return [text.slice(0, cut), text.slice(cut + 1)]
      })
    )
  }
}
