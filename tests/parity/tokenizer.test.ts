import { describe, expect, it } from 'vitest'
import { createTokenizer } from '../../src/engine/tokenizer/tokenizer'
import { listFolders, readJson } from './golden'

/** One text of `tokenizers/<name>/expected.json`, as the Rust library treats it, special tokens added. */
interface GoldenText {
  text: string
  ids: number[]
  decoded: string
  decoded_plain: string
}

const own = ['bert-wordpiece', 'gpt2-bpe', 'llama-bpe', 'ours', 't5-unigram']

const root = await listFolders()
const names = root.own || root.folders.includes('tokenizers') ? (await listFolders('tokenizers')).folders : []

async function readTokenizer(name: string) {
  const { files } = await listFolders(`tokenizers/${name}`)
  if (files.includes('tokenizer.json')) return createTokenizer(await readJson(`tokenizers/${name}/tokenizer.json`), {})
  const site = async (file: string): Promise<unknown> => (await fetch(`/models/tuneground-2m/${file}`)).json()
  return createTokenizer(await site('tokenizer.json'), await site('tokenizer_config.json'))
}

describe('tokenizers', () => {
  it('are held against every fixture that is there', () => {
    if (root.own) expect(names).toEqual(own)
    else expect(root.folders.includes('tokenizers')).toBe(names.length > 0)
  })

  for (const name of names) {
    it(`encodes and decodes as the Rust library: ${name}`, async () => {
      const tokenizer = await readTokenizer(name)
      const texts = await readJson<GoldenText[]>(`tokenizers/${name}/expected.json`)
      expect(texts.length).toBeGreaterThan(0)
      const ours = texts.map(({ text, ids }) => ({
        text,
        ids: tokenizer.encode(text, { addSpecialTokens: true }),
        decoded: tokenizer.decode(ids),
        decoded_plain: tokenizer.decode(ids, { skipSpecialTokens: true })
      }))
      expect(ours).toEqual(texts)
    })
  }
})
