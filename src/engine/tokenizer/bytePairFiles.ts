// Makes a tokenizer.json of the two files that older byte-level BPE models have in its place: vocab.json and merges.txt.
import { UserError } from '../errors'

/**
 * The tokenizer that GPT-2 and its kin mean by these files: byte-level BPE without a normaliser, whose end-of-text token is special.
 * @param vocab id by token, as in vocab.json
 * @param merges the text of merges.txt: a pair a line, the most frequent first, behind a line with its version
 * @param config the parsed tokenizer_config.json, for `add_prefix_space`
 * @throws UserError where the two are not what they should be
 * @see https://github.com/openai/gpt-2/blob/master/src/encoder.py
 */
export function tokenizerOfBytePairFiles(vocab: unknown, merges: string, config: unknown): object {
  if (typeof vocab !== 'object' || vocab === null || Array.isArray(vocab)) throw wrong('vocab.json is no map of tokens to their ids')
  const pairs = merges.split(/\r?\n/).filter((line, index) => line !== '' && !(index === 0 && line.startsWith('#version')))
  const strange = pairs.find((line) => line.split(' ').length !== 2)
  if (strange !== undefined) throw wrong(`merges.txt has the line ${JSON.stringify(strange.slice(0, 80))}, which is no pair`)
  const end = '<|endoftext|>'
  const id = (vocab as Record<string, unknown>)[end]
  const byteLevel = { type: 'ByteLevel', add_prefix_space: hasPrefixSpace(config), trim_offsets: true, use_regex: true }
  return {
    version: '1.0',
    added_tokens: typeof id === 'number' ? [{ id, content: end, special: true, normalized: false }] : [],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: byteLevel,
    decoder: byteLevel,
    model: { type: 'BPE', vocab, merges: pairs }
  }
}

const hasPrefixSpace = (config: unknown): boolean =>
  typeof config === 'object' && config !== null && (config as { add_prefix_space?: unknown }).add_prefix_space === true

const wrong = (what: string) =>
  new UserError(`The tokenizer cannot be read: ${what}.`, 'Fetch vocab.json and merges.txt again, or choose a model with a tokenizer.json.')
