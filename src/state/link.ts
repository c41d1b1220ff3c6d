// The set-up as a link: one row per field of the address, read with a note on what could not be used, written without the defaults.
import type { Method } from '../engine/methods/method'
import { PRECISIONS, type Precision } from '../engine/model/precision'
import { parseHubAddress } from '../storage/hubNames'
import { siteTasks } from './catalogue'
import { hybridProblem, readHybrid } from './hybrids'
import { modelOfKey } from './modelKeys'
import { defaultSetup, numberProblem, type NumberFieldName, type SetupValues } from './setup'
import { isTuning, tunings } from './tuning'

interface LinkField {
  name: string
  /** Undefined where the value is the default and need not be in the link. */
  write(values: SetupValues): string | undefined
  /** The change, or a sentence on why there is none. */
  read(text: string, known: KnownMethods): Partial<SetupValues> | string
}

/** Rows of the methods that train. */
export type KnownMethods = readonly Method[]

const oneText = (name: 'model' | 'task' | 'hub', read: LinkField['read']): LinkField => ({
  name,
  write: (values) => (values[name] === defaultSetup[name] ? undefined : values[name]),
  read
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

const flag = (name: 'againstRandom' | 'gradientCheckpointing' | 'float16Products'): LinkField => ({
  name,
  write: (values) => (values[name] ? 'yes' : undefined),
  read: (text) => (text === 'yes' ? { [name]: true } : `“${name}” takes “yes”.`)
})

const toNumber = (text: string) => (text.trim() === '' ? NaN : Number(text))

const methodsField: LinkField = {
  name: 'methods',
  write: (values) => (values.methods.join() === defaultSetup.methods.join() ? undefined : values.methods.join(',')),
  read: (text, known) => {
    const ids = [...new Set(text.split(',').filter((id) => id !== ''))]
    const strange = ids.filter((id) => !known.some((method) => method.id === id))
    if (strange.length > 0) return `There is no method called “${strange.join('”, “')}”.`
    return ids.length > 0 ? { methods: ids } : 'No method is named.'
  }
}

const hybridsField: LinkField = {
  name: 'hybrids',
  write: (values) => (values.hybrids.length === 0 ? undefined : values.hybrids.join(',')),
  read: (text, known) => {
    const keys = [...new Set(text.split(',').filter((key) => key !== ''))]
    const problem = keys.map((key) => hybridProblem(readHybrid(key), known)).find((found) => found !== undefined)
    return problem ?? { hybrids: keys }
  }
}

/** All fields of the address, in their order. */
export const linkFields: readonly LinkField[] = [
  oneText('model', (text) => (modelOfKey(text) ? { model: text } : `There is no model called “${text}”.`)),
  oneText('hub', (text) => {
    const hub = parseHubAddress(text)
    return hub === undefined ? `“${text}” is not the address of a hub.` : { hub }
  }),
  oneText('task', (text) => (siteTasks.some((row) => row.id === text) ? { task: text } : `There is no task called “${text}”.`)),
  methodsField,
  hybridsField,
  budgetNumber('steps'),
  budgetNumber('seconds'),
  wholeNumber('evaluateEvery'),
  wholeNumber('patience'),
  wholeNumber('batchSize'),
  wholeNumber('maximumLength'),
  {
    name: 'precision',
    write: ({ precision }) => (precision === defaultSetup.precision ? undefined : precision),
    read: (text) =>
      Object.hasOwn(PRECISIONS, text)
        ? { precision: text as Precision }
        : `“precision” takes one of: ${Object.keys(PRECISIONS).join(', ')}.`
  },
  flag('gradientCheckpointing'),
  wholeNumber('trainingExamples'),
  wholeNumber('seed'),
  wholeNumber('seeds'),
  flag('againstRandom'),
  {
    name: 'tune',
    write: (values) => (values.tune === defaultSetup.tune ? undefined : values.tune),
    read: (text) => (isTuning(text) ? { tune: text } : `“tune” takes one of: ${tunings.map(({ id }) => id).join(', ')}.`)
  },
  flag('float16Products')
]

/** The address's query for a set-up; empty for the default one. */
export function writeLink(values: SetupValues): string {
  const query = new URLSearchParams()
  for (const field of linkFields) {
    const text = field.write(values)
    if (text !== undefined) query.set(field.name, text)
  }
  // These need no escape behind the sign of a fragment, and links are read by people.
  return query.toString().replace(/%(2C|3A|2F|40)/g, decodeURIComponent)
}

/** The set-up that a query asks for. What cannot be used stays at its default and is named in `notes`. */
export function readLink(query: string, known: KnownMethods): { values: SetupValues; notes: string[] } {
  const values: SetupValues = { ...defaultSetup, methods: [...defaultSetup.methods], hybrids: [] }
  const notes: string[] = []
  for (const [name, text] of new URLSearchParams(query)) {
    const field = linkFields.find((row) => row.name === name)
    const change = field ? field.read(text, known) : `“${name}” is not a setting.`
    if (typeof change === 'string') notes.push(change)
    else Object.assign(values, change)
  }
  return { values, notes }
}
