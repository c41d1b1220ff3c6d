// A Llama of one narrow layer with the embedded tokenizer: learns little, but races in seconds.
import { readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BrowserContext } from '@playwright/test'
import { writeSafetensors } from '../../src/engine/formats/safetensors'
import { Random } from '../../src/engine/random'

const EMBEDDED = 'public/models/tuneground-2m'
const HIDDEN = 16
const INTERMEDIATE = 32

/** The files of the model's folder, by name; always the same bytes. */
export function tinyModelFiles(): Record<string, string | Uint8Array> {
  const config = JSON.parse(readFileSync(join(EMBEDDED, 'config.json'), 'utf8')) as Record<string, unknown> & { vocab_size: number }
  const random = new Random(7)
  const matrix = (rows: number, columns: number) => ({
    shape: [rows, columns],
    data: Float32Array.from({ length: rows * columns }, () => (random.uniform() - 0.5) / 4)
  })
  const ones = () => ({ shape: [HIDDEN], data: new Float32Array(HIDDEN).fill(1) })
  const layer = (name: string) => `model.layers.0.${name}.weight`
  const weights = writeSafetensors({
    'model.embed_tokens.weight': matrix(config.vocab_size, HIDDEN),
    'model.norm.weight': ones(),
    [layer('input_layernorm')]: ones(),
    [layer('post_attention_layernorm')]: ones(),
    [layer('self_attn.q_proj')]: matrix(HIDDEN, HIDDEN),
    [layer('self_attn.k_proj')]: matrix(HIDDEN, HIDDEN),
    [layer('self_attn.v_proj')]: matrix(HIDDEN, HIDDEN),
    [layer('self_attn.o_proj')]: matrix(HIDDEN, HIDDEN),
    [layer('mlp.gate_proj')]: matrix(INTERMEDIATE, HIDDEN),
    [layer('mlp.up_proj')]: matrix(INTERMEDIATE, HIDDEN),
    [layer('mlp.down_proj')]: matrix(HIDDEN, INTERMEDIATE)
  })
  const shrunk = {
    ...config,
    hidden_size: HIDDEN,
    intermediate_size: INTERMEDIATE,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    num_key_value_heads: 2,
    head_dim: HIDDEN / 2
  }
  return {
    'config.json': JSON.stringify(shrunk),
    'model.safetensors': weights,
    'tokenizer.json': readFileSync(join(EMBEDDED, 'tokenizer.json'), 'utf8'),
    'tokenizer_config.json': readFileSync(join(EMBEDDED, 'tokenizer_config.json'), 'utf8'),
    'special_tokens_map.json': readFileSync(join(EMBEDDED, 'special_tokens_map.json'), 'utf8'),
    'README.md': '# Tiny\n\nMade by the tests.'
  }
}

/** Writes the model, or another one, as a folder in the Hugging Face layout. */
export async function writeTinyModel(folder: string, files = tinyModelFiles()): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content)
}

/** Serves it in place of the embedded model. The context must block service workers, which would answer first. */
export async function routeTinyModel(context: BrowserContext): Promise<void> {
  const files = tinyModelFiles()
  await context.route('**/models/tuneground-2m/*', (route) => {
    const content = files[new URL(route.request().url()).pathname.split('/').at(-1) ?? '']
    if (content === undefined) return route.fulfill({ status: 404, contentType: 'text/plain', body: 'Not found.' })
    return route.fulfill({ contentType: 'application/octet-stream', body: typeof content === 'string' ? content : Buffer.from(content) })
  })
}
