import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { UserError } from '../../src/engine/errors'
import { createStreamDecoder } from '../../src/engine/tokenizer/streamDecoder'
import { createTokenizer } from '../../src/engine/tokenizer/tokenizer'

const json = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'))
const model = 'public/models/tuneground-2m'
const ours = createTokenizer(json(`${model}/tokenizer.json`), json(`${model}/tokenizer_config.json`))
const fixture = (name: string) => createTokenizer(json(`tests/fixtures/golden/tokenizers/${name}/tokenizer.json`), {})

describe('the tokenizer of the embedded model', () => {
  it('knows its special tokens and its size', () => {
    expect(ours).toMatchObject({ beginToken: 0, endToken: 0, padToken: 1, vocabularySize: 8192 })
    expect(ours.tokenToId('<|pad|>')).toBe(1)
    expect(ours.tokenToId('no such token')).toBeUndefined()
    expect(ours.idToToken(0)).toBe('<|endoftext|>')
    expect(ours.idToToken(8192)).toBeUndefined()
  })

  it('gives any text back', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), (text) => {
        expect(ours.decode(ours.encode(text))).toBe(text)
      })
    )
  })

  it('leaves special tokens out where that is wanted', () => {
    const ids = [0, ...ours.encode('one two'), 0]
    expect(ours.decode(ids)).toBe('<|endoftext|>one two<|endoftext|>')
    expect(ours.decode(ids, { skipSpecialTokens: true })).toBe('one two')
    expect(ours.decode([])).toBe('')
  })

  it('encodes a label word behind a template as it does alone', () => {
    expect(ours.encode('Sentiment: positive')).toEqual([...ours.encode('Sentiment:'), ...ours.encode(' positive')])
  })
})

describe('a foreign tokenizer', () => {
  it('adds special tokens only where asked for', () => {
    const llama = fixture('llama-bpe')
    expect(llama.encode('a', { addSpecialTokens: true })).toEqual([1, ...llama.encode('a')])
  })

  it('reads special tokens from either form of the config', () => {
    const llama = createTokenizer(json('tests/fixtures/golden/tokenizers/llama-bpe/tokenizer.json'), {
      bos_token: { content: '<s>', lstrip: false },
      eos_token: '</s>'
    })
    expect(llama).toMatchObject({ beginToken: 1, endToken: 2, padToken: 2 })
    expect(fixture('llama-bpe')).toMatchObject({ beginToken: undefined, endToken: undefined, padToken: 0 })
  })

  it.each([
    [null],
    ['{}'],
    [[]],
    [{}],
    [{ model: {} }],
    [{ model: { type: 'BPE', vocab: {}, merges: [] }, normalizer: { type: 'Magic' } }]
  ])('is refused in words where it is %j', (broken) => expect(() => createTokenizer(broken, {})).toThrow(UserError))
})

describe('text as it comes', () => {
  it('never shows half a character', () => {
    const decoder = createStreamDecoder(ours)
    const pieces = ours.encode('naïve 数字 👩‍🚀 ok').map((id) => decoder.push(id))
    expect(pieces.join('')).toBe('naïve 数字 👩‍🚀 ok')
    expect(pieces.some((piece) => piece.includes('\ufffd'))).toBe(false)
    expect(pieces.filter((piece) => piece === '').length).toBeGreaterThan(3)
    expect(decoder.flush()).toBe('')
  })

  it('gives bytes that never became a character at the end', () => {
    const decoder = createStreamDecoder(ours)
    const [first] = ours.encode('数')
    expect(decoder.push(first!)).toBe('')
    expect(decoder.flush()).toBe('\ufffd')
  })

  it.each([
    ['ours', ours],
    ['gpt2-bpe', fixture('gpt2-bpe')],
    ['llama-bpe', fixture('llama-bpe')]
  ])('is in the end the whole text, whatever the tokens (%s)', (_, tokenizer) => {
    const ids = fc.array(fc.nat(tokenizer.vocabularySize - 1), { maxLength: 40 })
    fc.assert(
      fc.property(ids, fc.boolean(), (stream, skipSpecialTokens) => {
        const decoder = createStreamDecoder(tokenizer, { skipSpecialTokens })
        const text = stream.map((id) => decoder.push(id)).join('') + decoder.flush()
        expect(text).toBe(tokenizer.decode(stream, { skipSpecialTokens }))
      }),
      { numRuns: 500 }
    )
  })
})
