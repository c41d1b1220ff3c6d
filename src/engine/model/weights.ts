// Matches the tensors of a checkpoint with what the decoder needs, and names what is missing, wrong or left over.
import { UserError } from '../errors'
import type { DecoderConfig } from './config'
import { weightShapes, type DecoderLayout } from './layout'

/** Buffers that older checkpoints hold beside the weights: causal masks and rotary frequencies, which the engine makes itself. */
const KNOWN_BUFFERS = /\.(attn|attention)\.(bias|masked_bias)$|\.rotary_emb\.inv_freq$/

const ADVICE = 'Check that config.json and the weights belong to the same model and that the weights are complete.'

/**
 * Where the decoder's weights are in a checkpoint: by full Hugging Face name the name there, from the header alone. Checkpoints of the bare model,
 * whose names lack the layout's prefix, are accepted. A tensor that the decoder would not use is an error, since leaving it out would give wrong
 * numbers without a sign.
 * @throws UserError naming up to five tensors
 */
export function matchWeights(
  config: DecoderConfig,
  layout: DecoderLayout,
  tensors: ReadonlyMap<string, { shape: readonly number[] }>
): Map<string, string> {
  const given = new Map(tensors)
  const matched = new Map<string, string>()
  const missing: string[] = []
  const wrong: string[] = []
  for (const [name, shape] of Object.entries(weightShapes(config, layout))) {
    const key = given.has(name) || !name.startsWith(layout.prefix) ? name : name.slice(layout.prefix.length)
    const tensor = given.get(key)
    given.delete(key)
    if (!tensor) missing.push(name)
    else if (tensor.shape.join() !== shape.join()) wrong.push(`${name} is [${tensor.shape.join(', ')}], not [${shape.join(', ')}]`)
    else matched.set(name, key)
  }
  if (missing.length > 0) throw new UserError(`The model's weights lack ${some(missing)}.`, ADVICE)
  if (wrong.length > 0) throw new UserError(`The model's weights do not fit its config.json: ${some(wrong)}.`, ADVICE)
  const unused = [...given.keys()].filter((name) => !KNOWN_BUFFERS.test(name) && !(config.tiedEmbeddings && isHead(name)))
  if (unused.length > 0) {
    throw new UserError(`The model has weights that its config.json does not explain: ${some(unused)}.`, ADVICE)
  }
  return matched
}

/** A tied head that was saved all the same is the embedding once more. */
const isHead = (name: string): boolean => name === 'lm_head.weight' || name === 'embed_out.weight'

function some(names: string[]): string {
  const shown = names.slice(0, 5).join(', ')
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown
}
