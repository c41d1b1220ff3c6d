// Regular expressions of a tokenizer.json come from a stranger: only those that cannot backtrack for long are run.

/** Repeats beyond this count as endless. */
const FEW_REPEATS = 16

/** Ways in which the bounded parts in front of a point may match before it is worth refusing. */
const MAXIMUM_WAYS = 256

/** Counted repeats are unrolled when a pattern is compiled. */
const MAXIMUM_REPEATS = 1000

const MAXIMUM_LENGTH = 4000

/** One alternative while it is read, as the backtracking engine would have to undo it. */
interface Alternative {
  /** Endless repeats so far: each is one more loop inside another when something behind it fails. */
  loops: number
  /** In how many ways the bounded repeats and choices so far can match. */
  ways: number
  /** Whether what it matches has only one length and no choice. */
  isFixed: boolean
}

interface Group extends Alternative {
  alternatives: Alternative[]
}

class TooSlow extends Error {}

const newGroup = (): Group => ({ loops: 0, ways: 1, isFixed: true, alternatives: [] })

/**
 * What keeps a pattern (Oniguruma's syntax, as tokenizers write it) from being run on any text, as the rest of a sentence; undefined where nothing does.
 * At most one endless repeat stands before a part that can still fail, and a repeated group matches in one way alone: matching a text of n letters then
 * takes at most of the order of n² steps. The patterns of GPT-2, GPT-4, Llama 3, Qwen 2 and their kin are all of this form.
 * @see https://owasp.org/www-community/attacks/Regular_expression_Denial_of_Service_-_ReDoS
 */
export function patternProblem(pattern: string): string | undefined {
  if (pattern.length > MAXIMUM_LENGTH) return `is ${pattern.length} characters long`
  try {
    scan(pattern)
  } catch (error) {
    if (error instanceof TooSlow) return error.message
    throw error
  }
}

function scan(pattern: string): void {
  const groups: Group[] = [newGroup()]
  let at = 0
  while (at < pattern.length) {
    const group = groups.at(-1)!
    const letter = pattern[at]!
    if (letter === '(') {
      at += /^\((\?(i:|[:=!>]|<[=!]|<\w+>))?/.exec(pattern.slice(at))![0].length
      groups.push(newGroup())
    } else if (letter === '|') {
      endAlternative(group)
      at++
    } else {
      let atom: Alternative = { loops: 0, ways: 1, isFixed: true }
      if (letter === ')') {
        if (groups.length === 1) throw new TooSlow('closes a bracket that it never opened')
        atom = whole(groups.pop()!)
        at++
      } else at = endOfAtom(pattern, at)
      const repeat = readRepeat(pattern, at)
      at = repeat.end
      addAtom(groups.at(-1)!, atom, repeat)
    }
  }
  if (groups.length > 1) throw new TooSlow('leaves a bracket open')
}

/** A closed group as a single part: its loops are those of its worst alternative, its ways those of all. */
function whole(group: Group): Alternative {
  endAlternative(group)
  const { alternatives } = group
  return {
    loops: Math.max(...alternatives.map(({ loops }) => loops)),
    ways: alternatives.reduce((sum, { ways }) => sum + ways, 0),
    isFixed: alternatives.length === 1 && alternatives[0]!.isFixed
  }
}

function endAlternative(group: Group): void {
  const { loops, ways, isFixed } = group
  group.alternatives.push({ loops, ways, isFixed })
  Object.assign(group, { loops: 0, ways: 1, isFixed: true })
}

function addAtom(group: Group, atom: Alternative, { minimum, maximum }: { minimum: number; maximum: number }): void {
  if (maximum > 1 && !atom.isFixed) throw new TooSlow('repeats a group that can match in several ways')
  // What must match at least once can fail, and then all in front of it is tried anew.
  if (minimum > 0 && (group.loops > 1 || group.ways > MAXIMUM_WAYS)) throw new TooSlow('can be tried in too many ways before it fails')
  const isEndless = maximum > FEW_REPEATS
  group.loops += atom.loops + (isEndless && maximum !== minimum ? 1 : 0)
  group.ways *= atom.ways * (isEndless ? 1 : maximum - minimum + 1)
  if (maximum !== minimum || !atom.isFixed) group.isFixed = false
}

/** Behind one letter, escape or class; classes may hold others. */
function endOfAtom(pattern: string, at: number): number {
  if (pattern[at] === '\\') return endOfEscape(pattern, at)
  if (pattern[at] !== '[') return at + 1
  let depth = 0
  for (let i = at; i < pattern.length; i++) {
    if (pattern[i] === '\\') i++
    else if (pattern[i] === '[') {
      depth++
      // A bracket that closes at once is a letter of the class.
      if (pattern[i + 1] === '^') i++
      if (pattern[i + 1] === ']') i++
    } else if (pattern[i] === ']' && --depth === 0) return i + 1
  }
  throw new TooSlow('leaves a class open')
}

function endOfEscape(pattern: string, at: number): number {
  if (/^\\([1-9]|k)/.test(pattern.slice(at, at + 2))) throw new TooSlow('refers back to what it matched')
  const braced = /^\\[pPxu]\{[^}]*\}/.exec(pattern.slice(at, at + 60))
  return at + (braced ? braced[0].length : 2)
}

function readRepeat(pattern: string, at: number): { minimum: number; maximum: number; end: number } {
  const match = /^(?:([*+?])|\{(\d*)(,?)(\d*)\})[+?]*/.exec(pattern.slice(at, at + 40))
  if (!match || match[0].startsWith('{}') || match[0].startsWith('{,}')) return { minimum: 1, maximum: 1, end: at }
  const [text, sign, from, comma, to] = match
  const end = at + text.length
  if (sign) return { minimum: sign === '+' ? 1 : 0, maximum: sign === '?' ? 1 : Infinity, end }
  const minimum = from ? Number(from) : 0
  if (Math.max(minimum, Number(to)) > MAXIMUM_REPEATS) throw new TooSlow(`repeats something more than ${MAXIMUM_REPEATS} times`)
  return { minimum, maximum: comma ? (to ? Number(to) : Infinity) : minimum, end }
}
