// The Nmt normaliser of SentencePiece, which @huggingface/tokenizers 0.2.0 does not know, in terms of Replace, which it does.

/** Control characters go; what sentencepiece counts as blank becomes a space. The sets are those of the Rust library's `Nmt`. */
const nmt = [
  { type: 'Replace', pattern: { Regex: '[\\u0001-\\u0008\\u000b\\u000e-\\u001f\\u007f\\u008f\\u009f]' }, content: '' },
  { type: 'Replace', pattern: { Regex: '[\\t\\n\\f\\r\\u1680\\u200b-\\u200f\\u2028\\u2029\\u2581\\ufeff\\ufffd]' }, content: ' ' }
]

/** The `normalizer` of a tokenizer.json, with every Nmt in it replaced by its two Replace steps. */
export function withoutNmt(normalizer: unknown): unknown {
  if (typeof normalizer !== 'object' || normalizer === null) return normalizer
  const { type, normalizers } = normalizer as { type?: unknown; normalizers?: unknown }
  if (type === 'Nmt') return { type: 'Sequence', normalizers: nmt }
  return Array.isArray(normalizers) ? { ...normalizer, normalizers: normalizers.map(withoutNmt) } : normalizer
}
