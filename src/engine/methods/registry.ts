// The one table of tuning methods, and the check of what a person chose for one of them.
import { UserError } from '../errors'
import { allWeights } from './allWeights'
import { biases } from './biases'
import { handwrittenPrompt } from './handwrittenPrompt'
import { ia3 } from './ia3'
import { lastLayers } from './lastLayers'
import { linearProbe } from './linearProbe'
import { lora } from './lora'
import type { Method, Option, OptionValue, OptionValues } from './method'
import { prefix } from './prefix'
import { pTuning } from './pTuning'
import { softPrompt } from './softPrompt'

/** By id, in the order in which the page shows them. A new method is one file and one row here. */
export const methods: Record<string, Method> = Object.fromEntries(
  [handwrittenPrompt, softPrompt, lora, allWeights, prefix, pTuning, ia3, biases, lastLayers, linearProbe].map((method) => [
    method.id,
    method
  ])
)

/** The method of that id. Throws a `UserError` that lists the known ones. */
export function getMethod(id: string): Method {
  const method = Object.hasOwn(methods, id) ? methods[id] : undefined
  if (!method) throw new UserError(`There is no tuning method "${id}".`, `Choose one of: ${Object.keys(methods).join(', ')}.`)
  return method
}

/**
 * All options of a method: what was chosen, and the default of everything else.
 * Throws a `UserError` where an option is unknown, of the wrong type or out of its range.
 */
export function optionsOf(method: Method, values: OptionValues = {}): OptionValues {
  const unknown = Object.keys(values).find((name) => !Object.hasOwn(method.options, name))
  if (unknown !== undefined) {
    const known = Object.keys(method.options)
    throw new UserError(
      `${method.title} has no option "${unknown}".`,
      known.length > 0 ? `Its options are: ${known.join(', ')}.` : 'It has no options: leave it out.'
    )
  }
  return Object.fromEntries(
    Object.entries(method.options).map(([name, option]) => {
      const value = Object.hasOwn(values, name) ? (values[name] as OptionValue) : option.default
      const wanted = whatIsWanted(option, value)
      if (wanted) throw new UserError(`${method.title}: "${option.label}" cannot be ${JSON.stringify(value)}.`, `Give ${wanted}.`)
      return [name, value]
    })
  )
}

/** What the option takes, in words, where `value` is not that; undefined where it is. */
function whatIsWanted(option: Option, value: OptionValue): string | undefined {
  switch (option.kind) {
    case 'integer':
    case 'number': {
      const noun = option.kind === 'integer' ? 'a whole number' : 'a number'
      const fits = typeof value === 'number' && value >= option.minimum && value <= option.maximum
      const whole = option.kind === 'number' || Number.isInteger(value)
      return fits && whole ? undefined : `${noun} from ${option.minimum} to ${option.maximum}`
    }
    case 'choice': {
      const choices = option.choices.map((choice) => choice.value)
      return choices.some((choice) => choice === value) ? undefined : `one of: ${choices.join(', ')}`
    }
    case 'text':
    case 'run':
      return typeof value === 'string' ? undefined : 'a text'
    case 'flag':
      return typeof value === 'boolean' ? undefined : 'true or false'
  }
}
