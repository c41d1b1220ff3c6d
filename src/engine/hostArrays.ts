// Arrays on the host that a step puts on the device, with how they follow from the step's batch: so a recorded step can make them from another batch.

export type HostArray = Int32Array | Float32Array

/** How an array was made: from another, or, where there is none, always the same. */
interface Origin {
  from?: HostArray
  make: (from: HostArray) => HostArray
}

const origins = new WeakMap<HostArray, Origin>()

/** `make(from)`, remembered with how it was made. `make` may depend on nothing else that changes between steps of the same shapes. */
export function derived<From extends HostArray, To extends HostArray>(from: From, make: (from: From) => To): To {
  const values = make(from)
  origins.set(values, { from, make: make as unknown as Origin['make'] })
  return values
}

/** Marks an array as the same in every step of the same shapes. */
export function fixed<Values extends HostArray>(values: Values): Values {
  origins.set(values, { make: () => values })
  return values
}

/** The arrays of a step by name. */
export type StepArrays = Readonly<Record<string, HostArray>>

/** What makes `values` from the arrays of any step, where it is one of `arrays` or follows from one; else undefined. */
export function makerOf(values: HostArray, arrays: StepArrays): ((arrays: StepArrays) => HostArray) | undefined {
  const name = Object.keys(arrays).find((key) => arrays[key] === values)
  if (name !== undefined) return (others) => others[name] as HostArray
  const origin = origins.get(values)
  if (!origin) return undefined
  const { from, make } = origin
  if (!from) return () => make(values)
  const source = makerOf(from, arrays)
  return source && ((others) => make(source(others)))
}

/** All arrays of a batch by their path in it. */
export function arraysOf(batch: object, prefix = ''): StepArrays {
  return Object.fromEntries(
    Object.entries(batch).flatMap(([name, value]: [string, unknown]): [string, HostArray][] => {
      if (value instanceof Int32Array || value instanceof Float32Array) return [[prefix + name, value]]
      return typeof value === 'object' && value !== null ? Object.entries(arraysOf(value, `${prefix}${name}.`)) : []
    })
  )
}
