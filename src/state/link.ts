// The set-up as a link: one row per field of the address, read with a note on what could not be used, written without the defaults.
import { siteModels, siteTasks } from './catalogue'
import { defaultSetup, numberProblem, type NumberFieldName, type SetupValues } from './setup'

interface LinkField {
  name: string
  /** Undefined where the value is the default and need not be in the link. */
  write(values: SetupValues): string | undefined
  /** The change, or a sentence on why there is none. */
  read(text: string, known: KnownMethods): Partial<SetupValues> | string
}

/** Ids of methods that train. */
export type KnownMethods = readonly string[]

const oneOf = (name: 'model' | 'task', rows: readonly { id: string }[]): LinkField => ({
  name,
  write: (values) => (values[name] === defaultSetup[name] ? undefined : values[name]),
  read: (text) => (rows.some((row) => row.id === text) ? { [name]: text } : `There is no ${name} called “${text}”.`)
})

const wholeNumber = (name: NumberFieldName): LinkField => ({
  name,
  write: (values) => (values[name] === defaultSetup[name] || numberProblem(name, values[name]) ? undefined : String(values[name])),
  read: (text) => numberProblem(name, toNumber(text)) ?? { [name]: toNumber(text) }
})

/** Steps or seconds: the one that is named is also what the race is counted in. */
const budgetNumber = (name: 'steps' | 'seconds'): LinkField => ({
  name,
  write: (values) => {
    const isDefault = name === defaultSetup.budgetKind && values[name] === defaultSetup[name]
    return values.budgetKind === name && !isDefault && !numberProblem(name, values[name]) ? String(values[name]) : undefined
  },
  read: (text) => numberProblem(name, toNumber(text)) ?? { [name]: toNumber(text), budgetKind: name }
})

const toNumber = (text: string) => (text.trim() === '' ? NaN : Number(text))

const methodsField: LinkField = {
  name: 'methods',
  write: (values) => (values.methods.join() === defaultSetup.methods.join() ? undefined : values.methods.join(',')),
  read: (text, known) => {
    const ids = [...new Set(text.split(',').filter((id) => id !== ''))]
    const strange = ids.filter((id) => !known.includes(id))
    if (strange.length > 0) return `There is no method called “${strange.join('”, “')}”.`
    return ids.length > 0 ? { methods: ids } : 'No method is named.'
  }
}

/** All fields of the address, in their order. */
export const linkFields: readonly LinkField[] = [
  oneOf('model', siteModels),
  oneOf('task', siteTasks),
  methodsField,
  budgetNumber('steps'),
  budgetNumber('seconds'),
  wholeNumber('evaluateEvery'),
  wholeNumber('patience'),
  wholeNumber('batchSize'),
  wholeNumber('seed')
]

/** The address's query for a set-up; empty for the default one. */
export function writeLink(values: SetupValues): string {
  const query = new URLSearchParams()
  for (const field of linkFields) {
    const text = field.write(values)
    if (text !== undefined) query.set(field.name, text)
  }
  return query.toString().replaceAll('%2C', ',')
}

/** The set-up that a query asks for. What cannot be used stays at its default and is named in `notes`. */
export function readLink(query: string, known: KnownMethods): { values: SetupValues; notes: string[] } {
  const values: SetupValues = { ...defaultSetup, methods: [...defaultSetup.methods] }
  const notes: string[] = []
  for (const [name, text] of new URLSearchParams(query)) {
    const field = linkFields.find((row) => row.name === name)
    const change = field ? field.read(text, known) : `“${name}” is not a setting.`
    if (typeof change === 'string') notes.push(change)
    else Object.assign(values, change)
  }
  return { values, notes }
}
