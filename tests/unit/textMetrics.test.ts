// Exact match, token F1 and ROUGE-L on values worked out by hand.
import { describe, expect, test } from 'vitest'
import { generationMetrics } from '../../src/engine/evaluation/generationMetrics'
import { exactMatch, normalisedWords, rougeL, tokenF1 } from '../../src/engine/evaluation/textMetrics'

test.each([
  ['The  Milk-Lorry, please!', ['milklorry', 'please']],
  ['an apple a day', ['apple', 'day']],
  ['Theatre of another day', ['theatre', 'of', 'another', 'day']],
  ['“The” crème', ['“', '”', 'crème']],
  ['a the', []]
])('SQuAD compares %j as %j', (text, words) => expect(normalisedWords(text)).toEqual(words))

test.each([
  ['A saucer of water.', 'saucer of water', 1, 1],
  ['of water saucer', 'a saucer of water', 0, 1],
  // 2 of 3 words are right, and 2 of 4 were found.
  ['the old red barn', 'red barn by the lane', 0, 4 / 7],
  // A word counts as often as it stands in both: 1 of 3, and 1 of 2.
  ['no no no', 'no way', 0, 2 / 5],
  ['Monday', 'Tuesday', 0, 0],
  ['', 'Tuesday', 0, 0],
  ['the', '', 1, 1]
])('%j for %j: exact match %d, token F1 %d', (output, target, exact, f1) => {
  expect(exactMatch(output, target)).toBe(exact)
  expect(tokenF1(output, target)).toBeCloseTo(f1, 12)
})

describe('ROUGE-L', () => {
  test.each([
    // Lin 2004, section 3.1: "police kill the gunman" and "the gunman kill police" against "police killed the gunman".
    ['police kill the gunman', 'police killed the gunman', 3 / 4],
    ['the gunman kill police', 'police killed the gunman', 2 / 4],
    // Of 3 words 2 in order, of 5 wanted ones 2.
    ['Small joys, daily', 'small, and daily, and enough', (2 * (2 / 3) * (2 / 5)) / (2 / 3 + 2 / 5)],
    ['the', 'The', 1],
    ['Éclair à la crème', 'éclair  crème', (2 * (2 / 4) * 1) / (2 / 4 + 1)],
    ['…', 'yes', 0],
    ['', '', 0]
  ])('of %j against %j is %d', (output, target, expected) => expect(rougeL(output, target)).toBeCloseTo(expected, 12))

  test('is the same both ways, and 1 for a text and itself', () => {
    const [a, b] = ['turn the handle, lose the afternoon', 'lose the handle, turn in the afternoon']
    expect(rougeL(a, b)).toBe(rougeL(b, a))
    expect(rougeL(a, a)).toBe(1)
  })
})

test('means are over what was generated; perplexity over every wanted token', () => {
  const outputs = [
    { text: 'a', target: 'red barn', output: 'the red barn' },
    { text: 'b', target: 'old mill', output: 'mill' }
  ]
  expect(generationMetrics(Math.log(8), 5, 17, outputs)).toEqual({
    examples: 5,
    tokens: 17,
    perplexity: expect.closeTo(8, 12) as number,
    generated: 2,
    exactMatch: 0.5,
    tokenF1: (1 + 2 / 3) / 2,
    rougeL: (4 / 5 + 2 / 3) / 2
  })
  expect(generationMetrics(1, 5, 17, [])).toMatchObject({ generated: 0, exactMatch: null, tokenF1: null, rougeL: null })
})
