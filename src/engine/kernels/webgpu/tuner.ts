// Which tiling each size of matrix product uses on this device: what `tileTimer` measured, as long as it is wanted.
import type { Runner } from './run'
import { CANDIDATES, chooseTile, meanwhileTile, type CandidateId, type Tile, type TileQuestion } from './tiles'

/**
 * `on`: choices are measured and used; `off`: those that were made beforehand are; `auto`: on for graphics cards, off for processors that play one, which
 * were measured beforehand and have no time to spare; else that candidate, wherever it suits.
 */
export type Tuning = 'auto' | 'on' | 'off' | CandidateId

/** What was measured for one size class. */
export interface MeasuredChoice {
  candidate: CandidateId
  /** Of the chosen one. */
  gigaflops: number
}

/** By size class. */
export type MeasuredChoices = Record<string, MeasuredChoice>

const upToPowerOfTwo = (size: number): number => 2 ** Math.ceil(Math.log2(size))

/** Sizes that share a choice: mode, each side up to the next power of two, packing, and whether float16 arithmetic stands for choice. */
export function sizeClass({ mode, rows, columns, depth, packing, float16 }: TileQuestion): string {
  const sides = [rows, columns, depth].map(upToPowerOfTwo)
  return [mode, ...sides, packing ?? 'float32', ...(float16 ? ['float16-arithmetic'] : [])].join(' ')
}

export class Tuner {
  #tuning: Tuning = 'auto'
  #float16 = false
  #choices = new Map<string, MeasuredChoice>()
  /** Size classes that were met and not yet measured, by the first product of each. */
  #open = new Map<string, TileQuestion>()

  constructor(readonly run: Pick<Runner, 'revision' | 'software' | 'float16'>) {}

  get tuning(): Tuning {
    return this.#tuning
  }

  set tuning(tuning: Tuning) {
    if (tuning === this.#tuning) return
    this.#tuning = tuning
    this.run.revision++
  }

  /** Whether products of the forward pass may be computed in float16: false until the user allows it, and wherever the device cannot. */
  get float16(): boolean {
    return this.#float16
  }

  set float16(allowed: boolean) {
    const float16 = allowed && this.run.float16
    if (float16 === this.#float16) return
    this.#float16 = float16
    this.run.revision++
  }

  /** Size classes that wait to be measured. */
  get pending(): number {
    return this.#measures ? this.#open.size : 0
  }

  /** Tilings of a product, the wanted one first; a later one serves until an earlier one is compiled. */
  tilesFor(question: TileQuestion): Tile[] {
    const usual = chooseTile(question)
    const wanted = this.#wanted(question)
    const quick = question.software ? meanwhileTile(usual) : undefined
    const tiles = [wanted, usual, quick].filter((tile) => tile !== undefined)
    return tiles.filter((tile, at) => tiles.findIndex((other) => JSON.stringify(other) === JSON.stringify(tile)) === at)
  }

  get #measures(): boolean {
    return this.#tuning === 'on' || (this.#tuning === 'auto' && !this.run.software)
  }

  #wanted(question: TileQuestion): Tile | undefined {
    const tuning = this.#tuning
    if (tuning !== 'auto' && tuning !== 'on' && tuning !== 'off') return CANDIDATES[tuning].tile(question)
    if (!this.#measures) return undefined
    const key = sizeClass(question)
    const choice = this.#choices.get(key)
    if (choice) return CANDIDATES[choice.candidate].tile(question)
    if (!this.#open.has(key)) this.#open.set(key, question)
    return undefined
  }

  /** The first size class that waits, by a product of it. */
  next(): TileQuestion | undefined {
    return this.pending > 0 ? [...this.#open.values()][0] : undefined
  }

  /** Takes the choice for a size class, or none where nothing could be measured; steps that were recorded with another are recorded anew. */
  choose(key: string, choice: MeasuredChoice | undefined): void {
    this.#open.delete(key)
    if (!choice) return
    this.#choices.set(key, choice)
    this.run.revision++
  }

  /** What was measured on this device, as plain data. */
  exportChoices(): MeasuredChoices {
    return Object.fromEntries(this.#choices)
  }

  /** Takes over what was measured earlier on a device of the same name; candidates that are no more are measured anew. */
  importChoices(choices: MeasuredChoices): void {
    for (const [key, choice] of Object.entries(choices)) {
      if (!(choice.candidate in CANDIDATES)) continue
      this.#choices.set(key, choice)
      this.#open.delete(key)
    }
    this.run.revision++
  }

  /** Forgets all choices: each size is measured again when it is met. */
  reset(): void {
    this.#choices.clear()
    this.#open.clear()
    this.run.revision++
  }
}

const tuners = new WeakMap<Runner, Tuner>()

/** The tuner of a device's runner; it begins without choices. */
export function tunerOf(run: Runner): Tuner {
  let found = tuners.get(run)
  if (!found) {
    found = new Tuner(run)
    tuners.set(run, found)
  }
  return found
}
