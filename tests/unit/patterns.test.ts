// Tokenizers' patterns: those in use are let through, those that backtrack for ever are not, and what is let through is quick.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { patternProblem } from '../../src/engine/tokenizer/patterns'

const inUse = {
  'GPT-2': String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
  'Llama 3': String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  o200k: String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  DeepSeek: String.raw`[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  BLOOM: String.raw` ?[^(\s|[.,!?…。，、।۔،])]+`,
  'digits from the right': String.raw`\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))`,
  Falcon: '[0-9][0-9][0-9]',
  spaces: ' {2,}'
}

test.each(Object.entries(inUse))('the pattern of %s is let through', (_, pattern) => {
  expect(patternProblem(pattern)).toBeUndefined()
})

describe('patterns that can backtrack for ever', () => {
  test.each(['(a+)+b', '(a|a)*b', '(a|ab)+$', '(a?a?)+b', '([a-z]+ ?)*!', 'a*a*b', '(?:a{0,9}){9}', `${'a?'.repeat(30)}${'a'.repeat(30)}`])(
    '%s is not run',
    (pattern) => expect(patternProblem(pattern)).toMatch(/several ways|too many ways/)
  )
  test.each([
    [String.raw`(a)\1`, 'refers back'],
    ['(a', 'open'],
    ['a)', 'never opened'],
    ['[a', 'class open'],
    ['a{9999}', '1000 times']
  ])('%s is refused', (pattern, message) => expect(patternProblem(pattern)).toContain(message))

  test('as are those that are too long', () => expect(patternProblem('a'.repeat(5000))).toContain('5000 characters'))
})

test('whatever is let through takes little time on a text made to hurt', () => {
  const atom = fc.constantFrom('a', 'b', '.', '[ab]')
  const repeat = fc.constantFrom('', '', '*', '+', '?', '{0,3}', '{2,}')
  const { pattern } = fc.letrec<{ pattern: string; part: string }>((tie) => ({
    part: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.constant('(?!b)'),
      fc.tuple(atom, repeat).map((pair) => pair.join('')),
      fc.tuple(tie('pattern'), repeat).map(([inner, mark]) => `(${inner})${mark}`)
    ),
    pattern: fc
      .array(
        fc.array(tie('part'), { minLength: 1, maxLength: 4 }).map((parts) => parts.join('')),
        { minLength: 1, maxLength: 3 }
      )
      .map((alternatives) => alternatives.join('|'))
  }))
  let accepted = 0
  fc.assert(
    fc.property(pattern, (source) => {
      if (patternProblem(source) !== undefined) return
      accepted++
      const begin = performance.now()
      for (const text of ['a'.repeat(1500), `${'ab'.repeat(600)}c`]) text.replaceAll(new RegExp(source, 'gu'), '')
      expect(performance.now() - begin).toBeLessThan(1000)
    }),
    { numRuns: 1500, seed: 7 }
  )
  expect(accepted).toBeGreaterThan(300)
})
