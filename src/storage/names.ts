// Names that people give to runs and races.
import { UserError } from '../engine/errors'

export const maximumNameLength = 100

/** @throws UserError where it is empty or too long to be shown */
export function checkName(name: string): void {
  if (name.trim() === '') throw new UserError('A name cannot be empty.', 'Give it at least one letter.')
  if (name.length > maximumNameLength) {
    throw new UserError(`This name has ${name.length} characters.`, `Use at most ${maximumNameLength}.`)
  }
}

/** The name, or where it is taken the name with " (imported)", " (imported 2)" and so on, not too long either. */
export function importedName(name: string, taken: ReadonlySet<string>): string {
  for (let count = 0; ; count++) {
    const mark = count === 0 ? '' : count === 1 ? ' (imported)' : ` (imported ${count})`
    const free = name.slice(0, maximumNameLength - mark.length) + mark
    if (!taken.has(free)) return free
  }
}
