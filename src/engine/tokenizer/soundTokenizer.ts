// Looks over a tokenizer.json before it is built: sizes, ids and patterns come from a stranger.
import { UserError } from '../errors'
import { patternProblem } from './patterns'

/** A model's embedding has a row for each; the largest published have 256,000. */
const MAXIMUM_ID = 2 ** 24

/** Texts that normalisers and their kin put in: longer ones could swell a prompt past all memory. */
const MAXIMUM_TEXT = 10_000

/** A table of SentencePiece, which is read and never put into a text. */
const TABLES = ['precompiled_charsmap']

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)

const refuse = (what: string): never => {
  throw new UserError(`This tokenizer cannot be used: ${what}.`, 'Choose a model with another tokenizer, or fetch tokenizer.json again.')
}

/** @throws UserError naming what in the parsed tokenizer.json could harm, or give wrong ids without a sign */
export function assertSoundTokenizer(tokenizerJson: Record<string, unknown>): void {
  const { model, added_tokens: added, normalizer, pre_tokenizer: preTokenizer, post_processor: postProcessor, decoder } = tokenizerJson
  if (isObject(model)) checkVocabulary(model)
  checkAddedTokens(added)
  for (const part of [normalizer, preTokenizer, postProcessor, decoder]) checkPart(part)
}

function checkVocabulary({ vocab, merges }: Record<string, unknown>): void {
  if (Array.isArray(vocab)) {
    const isPiece = (entry: unknown) => Array.isArray(entry) && typeof entry[0] === 'string' && Number.isFinite(entry[1])
    if (vocab.length > MAXIMUM_ID || !vocab.every(isPiece)) refuse('its vocabulary is no list of tokens with their scores')
  } else if (isObject(vocab)) {
    const ids = new Set<unknown>()
    for (const [token, id] of Object.entries(vocab)) {
      if (!isId(id)) refuse(`the token ${JSON.stringify(token.slice(0, 40))} has the id ${String(JSON.stringify(id)).slice(0, 40)}`)
      if (ids.size === ids.add(id).size) refuse(`two tokens have the id ${String(id)}`)
    }
  } else refuse('it has no vocabulary')
  const isPair = (pair: unknown) =>
    typeof pair === 'string' || (Array.isArray(pair) && pair.length === 2 && pair.every((token) => typeof token === 'string'))
  if (merges !== undefined && merges !== null && !(Array.isArray(merges) && merges.every(isPair))) refuse('its merges are no list of pairs')
}

const isId = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < MAXIMUM_ID

function checkAddedTokens(added: unknown): void {
  if (added === undefined || added === null) return
  if (!Array.isArray(added)) return refuse('its added_tokens are no list')
  for (const token of added as unknown[]) {
    if (!isObject(token) || !isId(token.id) || typeof token.content !== 'string' || token.content.length > MAXIMUM_TEXT) {
      refuse('an added token has no text or no id')
    }
  }
}

/** Normalisers, splitters and decoders, and what they are made of. */
function checkPart(part: unknown): void {
  if (Array.isArray(part)) return part.forEach(checkPart)
  if (!isObject(part)) return
  for (const [key, value] of Object.entries(part)) {
    if (typeof value !== 'string') checkPart(value)
    else if (value.length > MAXIMUM_TEXT && !TABLES.includes(key)) refuse(`${key} is ${value.length} characters long`)
    else if (key === 'Regex') checkPattern(value)
  }
}

function checkPattern(pattern: string): void {
  const problem = patternProblem(pattern)
  if (problem) refuse(`its pattern ${JSON.stringify(pattern.slice(0, 60))} ${problem}; such a pattern can keep a computer busy for ever`)
}
