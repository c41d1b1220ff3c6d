// Several methods as one run, together or one after another: their short name in a link, their title, their recipe.
import type { Method } from '../engine/methods/method'
import type { RecipePart } from '../engine/training/recipe'

export interface Hybrid {
  methods: readonly string[]
  /** One after another, each for an equal share of the budget; what was tuned before stays as it then is. */
  isStaged: boolean
}

const TOGETHER = '*'
const THEN = '-'

/** As links write it and the rail knows it: `softPrompt*lora` is together, `softPrompt-allWeights` one after the other. */
export const hybridKey = ({ methods, isStaged }: Hybrid): string => methods.join(isStaged ? THEN : TOGETHER)

/** What a key stands for, whatever its methods are. */
export function readHybrid(key: string): Hybrid {
  const isStaged = key.includes(THEN)
  return { methods: key.split(isStaged ? THEN : TOGETHER), isStaged }
}

/** What keeps these methods from being one run, or undefined. */
export function hybridProblem({ methods }: Hybrid, table: readonly Method[]): string | undefined {
  if (methods.length < 2) return 'Tick two methods or more.'
  const rows = methods.map((id) => table.find((row) => row.id === id))
  const strange = methods.find((_, i) => !rows[i]?.trains)
  if (strange !== undefined) return `There is no method to tune called “${strange}”.`
  if (new Set(methods).size < methods.length) return 'Each method can be there once.'
  const ofBase = rows.filter((row) => row?.changesBase)
  if (ofBase.length > 1) return `${ofBase.map((row) => row?.title).join(' and ')} would change the same weights: keep one of them.`
  return undefined
}

/** "Soft prompt + LoRA", or "Soft prompt, then all weights". */
export function hybridTitle({ methods, isStaged }: Hybrid, table: readonly Method[]): string {
  const titles = methods.map((id) => table.find((row) => row.id === id)?.title ?? id)
  if (!isStaged) return titles.join(' + ')
  const lower = (title: string): string => (/^[A-Z][a-z]+( |$)/.test(title) ? title.charAt(0).toLowerCase() + title.slice(1) : title)
  return titles.map((title, i) => (i === 0 ? title : lower(title))).join(', then ')
}

/** The hybrid that a recipe of several parts is, as far as the rail can show it. */
export function hybridOf(parts: readonly RecipePart[]): Hybrid {
  const methods = parts.map(({ method }) => method)
  return { methods, isStaged: parts.every(({ window }) => window !== undefined) }
}

/** Where the rail keeps the options of one part of a hybrid. */
export const partKey = (hybrid: string, method: string): string => `${hybrid}/${method}`
