// How near a written answer comes to the wanted one: exact match, token F1 and ROUGE-L, each of one pair of texts and from 0 to 1.

/** What SQuAD's own script takes out: Python's `string.punctuation`. */
const PUNCTUATION = /[!"#$%&'()*+,\-./:;<=>?@[\\\]^_`{|}~]/g

/** Words of an answer as SQuAD compares them (Rajpurkar et al. 2016): in lower case, without punctuation and without "a", "an" and "the". */
export function normalisedWords(text: string): string[] {
  return text
    .toLowerCase()
    .replace(PUNCTUATION, '')
    .replace(/\b(a|an|the)\b/g, ' ')
    .split(/\s+/)
    .filter((word) => word !== '')
}

/** 1 where both texts have the same normalised words in the same order, else 0 (Rajpurkar et al. 2016). */
export function exactMatch(output: string, target: string): 0 | 1 {
  return normalisedWords(output).join(' ') === normalisedWords(target).join(' ') ? 1 : 0
}

/**
 * The harmonic mean of precision and recall over normalised words, in any order, each counted as often as it stands in both texts
 * (Rajpurkar et al. 2016). Two empty texts agree; one alone does not.
 */
export function tokenF1(output: string, target: string): number {
  const [given, wanted] = [normalisedWords(output), normalisedWords(target)]
  if (given.length === 0 || wanted.length === 0) return given.length === wanted.length ? 1 : 0
  const left = new Map<string, number>()
  for (const word of wanted) left.set(word, (left.get(word) ?? 0) + 1)
  let shared = 0
  for (const word of given) {
    const count = left.get(word) ?? 0
    if (count > 0) shared++
    left.set(word, count - 1)
  }
  return harmonicMean(shared / given.length, shared / wanted.length)
}

/**
 * ROUGE-L (Lin 2004): the harmonic mean of precision and recall of the longest common subsequence of words, so that order counts and gaps do not.
 * Words are runs of letters and digits in lower case, unstemmed, as in Google's `rouge-score`. 0 where a text has none.
 */
export function rougeL(output: string, target: string): number {
  const words = (text: string): string[] => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []
  const [given, wanted] = [words(output), words(target)]
  if (given.length === 0 || wanted.length === 0) return 0
  const common = longestCommonSubsequence(given, wanted)
  return harmonicMean(common / given.length, common / wanted.length)
}

/** Its length, row by row of the usual table (Wagner and Fischer 1974). */
function longestCommonSubsequence(a: readonly string[], b: readonly string[]): number {
  let above = new Array<number>(b.length + 1).fill(0)
  for (const word of a) {
    const row = [0]
    b.forEach((other, j) => row.push(word === other ? above[j]! + 1 : Math.max(above[j + 1]!, row[j]!)))
    above = row
  }
  return above[b.length]!
}

const harmonicMean = (a: number, b: number): number => (a + b > 0 ? (2 * a * b) / (a + b) : 0)
