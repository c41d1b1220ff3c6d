// Looks over the text of a JSON file before it is parsed: a hostile one must fail fast, and JSON.parse forgives doubled keys.

/** What no honest file of its kind goes beyond. */
export interface JsonLimits {
  /** Commas and colons, those inside texts too. */
  maximumMarks: number
  /** Objects and lists inside one another; the outermost is level 1. */
  maximumDepth: number
}

const headerLimits: JsonLimits = {
  /** A tensor has about ten, so this is 100,000 tensors, ten times what a published file holds. */
  maximumMarks: 1_000_000,
  /** An object of objects that hold lists: the header is level 1, a tensor 2, its shape 3. */
  maximumDepth: 3
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

const [quotation, backslash, comma, openList, closeList, openObject, closeObject, colon] = [0x22, 0x5c, 0x2c, 0x5b, 0x5d, 0x7b, 0x7d, 0x3a]

/**
 * Passes over UTF-8 JSON once, by its marks and strings alone; whether it is JSON is left to JSON.parse.
 * @throws RangeError with the rest of a sentence ("has ..."): too many entries, nested too deep, a key that comes twice
 */
export function assertSoundJson(bytes: Uint8Array, { maximumMarks, maximumDepth }: JsonLimits = headerLimits): void {
  assertFewMarks(bytes, maximumMarks)
  const keys: (Set<string> | undefined)[] = []
  let keyIsNext = false
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]
    if (byte === quotation) {
      const begin = i
      for (i++; i < bytes.length && bytes[i] !== quotation; i++) if (bytes[i] === backslash) i++
      if (keyIsNext) addKey(keys.at(-1), bytes.subarray(begin, i + 1))
      keyIsNext = false
    } else if (byte === openObject || byte === openList) {
      keys.push(byte === openObject ? new Set() : undefined)
      keyIsNext = byte === openObject
      if (keys.length > maximumDepth) throw new RangeError('is nested too deep')
    } else if (byte === closeObject || byte === closeList) {
      keys.pop()
    } else if (byte === comma) {
      keyIsNext = keys.at(-1) !== undefined
    }
  }
}

/** Counts inside names too, which no model comes near; so this first pass costs a fraction of a millisecond a megabyte. */
function assertFewMarks(bytes: Uint8Array, maximumMarks: number): void {
  let marks = 0
  for (let i = 0; i < bytes.length; i++) {
    if ((bytes[i] === comma || bytes[i] === colon) && ++marks > maximumMarks) throw new RangeError('has more entries than any model')
  }
}

function addKey(keys: Set<string> | undefined, text: Uint8Array): void {
  // Decoded by JSON.parse, as an escaped key is the same as a plain one.
  const key = JSON.parse(utf8.decode(text)) as string
  if (keys?.has(key)) throw new RangeError(`has the key ${JSON.stringify(key.slice(0, 80))} twice`)
  keys?.add(key)
}
