// JSON that keeps every number to the bit: NaN, the infinities and -0 go as `{"$number": "NaN"}`.

const special = new Map([
  ['NaN', NaN],
  ['Infinity', Infinity],
  ['-Infinity', -Infinity],
  ['-0', -0]
])

/** Plain data as JSON text, from which `parseExactly` makes the same again. */
export function stringifyExactly(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => {
    if (typeof item !== 'number') return item
    if (Object.is(item, -0)) return { $number: '-0' }
    return Number.isFinite(item) ? item : { $number: String(item) }
  })
}

/** @throws SyntaxError where the text is not JSON */
export function parseExactly(text: string): unknown {
  return JSON.parse(text, (_key, item: unknown) => {
    if (typeof item !== 'object' || item === null || !Object.hasOwn(item, '$number')) return item
    const { $number: name, ...others } = item as Record<string, unknown>
    return typeof name === 'string' && special.has(name) && Object.keys(others).length === 0 ? special.get(name) : item
  })
}
