// Text to token ids and back: a small interface, behind which @huggingface/tokenizers works.
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers'
import { UserError } from '../errors'
import { withoutNmt } from './nmt'
import { assertSoundTokenizer } from './soundTokenizer'

export interface Tokenizer {
  /** Token ids of a text. Special tokens are added only where asked for, as the tokenizer's post-processor says. */
  encode(text: string, options?: { addSpecialTokens?: boolean }): number[]
  /** The text of token ids; special tokens are part of it unless they are skipped. */
  decode(ids: readonly number[], options?: { skipSpecialTokens?: boolean }): string
  tokenToId(token: string): number | undefined
  idToToken(id: number): string | undefined
  /** One more than the highest id; a model's embedding may have more rows. */
  vocabularySize: number
  beginToken?: number
  endToken?: number
  /** What fills a batch: the tokenizer's pad token, or its end token, or 0; padding is masked, so that any id will do. */
  padToken: number
}

/**
 * Reads the parsed `tokenizer.json` and `tokenizer_config.json` of a Hugging Face folder (`{}` where there is no second one).
 * @throws UserError where they are not what they should be, or need a part that the library does not have
 */
export function createTokenizer(tokenizerJson: unknown, tokenizerConfig: unknown): Tokenizer {
  const config = isObject(tokenizerConfig) ? tokenizerConfig : {}
  const tokenizer = build(tokenizerJson, config)
  const tokenOf = (key: string) => {
    // Older configs write a token as an object with its content.
    const value = isObject(config[key]) ? config[key].content : config[key]
    return typeof value === 'string' ? tokenizer.token_to_id(value) : undefined
  }
  const endToken = tokenOf('eos_token')
  return {
    encode(text, { addSpecialTokens = false } = {}) {
      // A byte or letter that is neither in the vocabulary nor covered by an unknown token has no id; as in the Rust library, it is left out.
      return tokenizer.encode(text, { add_special_tokens: addSpecialTokens }).ids.filter((id) => id !== undefined)
    },
    decode(ids, { skipSpecialTokens = false } = {}) {
      // The library refuses an empty list. Tidying spaces is off, as it would change the text, and break streaming.
      if (ids.length === 0) return ''
      return tokenizer.decode([...ids], { skip_special_tokens: skipSpecialTokens, clean_up_tokenization_spaces: false })
    },
    tokenToId: (token) => tokenizer.token_to_id(token),
    idToToken: (id) => tokenizer.id_to_token(id),
    vocabularySize: [...tokenizer.get_vocab().values()].reduce((size, id) => Math.max(size, id + 1), 0),
    beginToken: tokenOf('bos_token'),
    endToken,
    padToken: tokenOf('pad_token') ?? endToken ?? 0
  }
}

const PROBE = 'A word, 12 numbers… and  spaces\n'

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)

function build(tokenizerJson: unknown, config: object): HuggingFaceTokenizer {
  if (!isObject(tokenizerJson) || !isObject(tokenizerJson.model)) {
    throw new UserError(
      'This tokenizer.json has no model in it.',
      'Check that it is the tokenizer.json of a Hugging Face model, or fetch it again.'
    )
  }
  assertSoundTokenizer(tokenizerJson)
  try {
    const tokenizer = new HuggingFaceTokenizer(
      { added_tokens: [], ...tokenizerJson, normalizer: withoutNmt(tokenizerJson.normalizer) },
      config
    )
    // Some parts are first looked at when they are used.
    const ids = tokenizer.encode(PROBE).ids.filter((id) => id !== undefined)
    if (ids.length > 0) tokenizer.decode(ids)
    return tokenizer
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new UserError(
      `This tokenizer cannot be read: ${reason}.`,
      'Choose a model with another tokenizer, or fetch tokenizer.json again.'
    )
  }
}
