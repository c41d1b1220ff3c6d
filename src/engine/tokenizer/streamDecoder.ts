// Turns tokens into text as they come, and never shows half a character.
import type { Tokenizer } from './tokenizer'

export interface StreamDecoder {
  /** The text that this token adds for good; empty while a character is not complete. */
  push(id: number): string
  /** What is held back at the end: bytes that never became a character, as U+FFFD. */
  flush(): string
}

/**
 * A decoder for one stream of tokens: all pieces together are `tokenizer.decode` of all tokens. A token may hold only some of a
 * character's UTF-8 bytes, which decode to U+FFFD until the rest has come, so text that ends in U+FFFD waits.
 */
export function createStreamDecoder(tokenizer: Tokenizer, options: { skipSpecialTokens?: boolean } = {}): StreamDecoder {
  // Tokens are decoded with those of the piece before them, because a decoder may treat a text's first token differently (its leading
  // space goes); and not with all that came, because then a long text would cost its length squared.
  let ids: number[] = []
  let shown = 0
  let shownText = ''
  const take = (text: string) => {
    const piece = text.slice(shownText.length)
    ids = ids.slice(shown)
    shown = ids.length
    shownText = tokenizer.decode(ids, options)
    return piece
  }
  return {
    push(id) {
      ids.push(id)
      const text = tokenizer.decode(ids, options)
      return text.length > shownText.length && !text.endsWith('\ufffd') ? take(text) : ''
    },
    flush: () => take(tokenizer.decode(ids, options))
  }
}
