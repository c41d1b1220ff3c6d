// What is asked of all models at once: a text by field, how they write, their probabilities and their texts as they grow.
import { describeError } from '../engine/errors'
import { GREEDY, type SamplingOptions } from '../engine/model/sampling'
import type { Answer, EngineApi } from '../worker/protocol'
import type { StreamedText } from '../worker/streamCalls'
import type { Problem } from './engineSession.svelte'

export interface WritingSettings extends SamplingOptions {
  maximumTokens: number
  seed: number
}

interface SettingRow {
  name: keyof WritingSettings
  label: string
  help: string
  minimum: number
  maximum: number
  fraction?: boolean
}

/** How a model writes, in the order of the page. */
export const writingSettings: readonly SettingRow[] = [
  {
    name: 'temperature',
    label: 'Temperature',
    help: '0 always takes the likeliest token; 1 draws by the model’s own probabilities; more than that is bolder.',
    minimum: 0,
    maximum: 2,
    fraction: true
  },
  { name: 'topK', label: 'Top-k', help: 'Draws among so many of the likeliest tokens only; 0 is all.', minimum: 0, maximum: 1000 },
  {
    name: 'topP',
    label: 'Top-p',
    help: 'Draws among the fewest tokens whose probabilities reach this together; 1 is all (Holtzman et al. 2020).',
    minimum: 0.01,
    maximum: 1,
    fraction: true
  },
  { name: 'maximumTokens', label: 'Tokens at most', help: 'Writing ends here where it has not ended before.', minimum: 1, maximum: 512 },
  {
    name: 'seed',
    label: 'Seed',
    help: 'The same seed draws the same text again; without a temperature nothing is drawn.',
    minimum: 0,
    maximum: 999_999
  }
]

const isWithin = ({ minimum, maximum, fraction }: SettingRow, value: number): boolean =>
  Number.isFinite(value) && value >= minimum && value <= maximum && (fraction === true || Number.isInteger(value))

export class TryIt {
  /** By field of a template; what another task's template asks for stays, in case one comes back to it. */
  fields = $state<Record<string, string>>({})
  settings = $state<WritingSettings>({ ...GREEDY, maximumTokens: 32, seed: 1 })
  answers = $state.raw<readonly Answer[]>([])
  texts = $state.raw<readonly StreamedText[]>([])
  problem = $state.raw<Problem | undefined>(undefined)
  /** Whether an answer is on its way. */
  isWaiting = $state(false)
  readonly #api: Pick<EngineApi, 'answer' | 'stream' | 'stopStream'>

  constructor(api: Pick<EngineApi, 'answer' | 'stream' | 'stopStream'>) {
    this.#api = api
  }

  /** Whether there is a text, and settings to write with. */
  canAsk(fields: readonly string[]): boolean {
    const { settings } = this
    const isWritten = fields.some((field) => (this.fields[field] ?? '').trim() !== '')
    return !this.isWaiting && isWritten && writingSettings.every((row) => isWithin(row, settings[row.name]))
  }

  /** Asks all models with the named fields; with `labels`, for their probabilities first. */
  async ask(names: readonly string[], runs: string[], labels: boolean): Promise<void> {
    const { maximumTokens, seed, ...sampling } = $state.snapshot(this.settings)
    const fields = Object.fromEntries(names.map((name) => [name, this.fields[name] ?? '']))
    this.isWaiting = true
    this.problem = undefined
    this.answers = []
    this.texts = []
    try {
      if (labels) this.answers = await this.#api.answer(fields, runs)
      await this.#api.stream({ fields, runs, sampling, maximumTokens, seed }, (texts) => (this.texts = texts))
    } catch (error) {
      this.problem = describeError(error)
    }
    this.isWaiting = false
  }

  stop(): Promise<void> {
    return this.#api.stopStream()
  }
}
