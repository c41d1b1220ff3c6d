// The table of decoder families: `model_type` of config.json to how its options and weights are read.
import * as v from 'valibot'
import { UserError } from '../errors'
import { readGpt2 } from './architectures/gpt2'
import { readGptNeo } from './architectures/gptNeo'
import { readGptNeox } from './architectures/gptNeox'
import { readLlama, readQwen2 } from './architectures/llama'
import type { DecoderConfig } from './config'
import { readFields, unsupported } from './configFields'
import type { DecoderLayout } from './layout'

/** Reads a config.json of one family. Throws a `UserError` that names the field which is wrong or not supported. */
type Architecture = (json: unknown) => { config: DecoderConfig; layout: DecoderLayout }

const architectures: Record<string, Architecture> = {
  llama: readLlama,
  qwen2: readQwen2,
  gpt2: readGpt2,
  gpt_neox: readGptNeox,
  gpt_neo: readGptNeo
}

/** Values of `model_type` that the engine runs. */
export const supportedArchitectures: readonly string[] = Object.keys(architectures)

/**
 * What a model looks like and where its weights are, from its parsed config.json.
 * @throws UserError naming the field that is missing, wrong, contradictory or not supported
 */
export function readArchitecture(json: unknown): { config: DecoderConfig; layout: DecoderLayout } {
  const { model_type: type } = readFields(json, { model_type: v.string() })
  const read = Object.hasOwn(architectures, type) ? architectures[type] : undefined
  if (!read) {
    throw new UserError(
      `This model is a ${JSON.stringify(type.slice(0, 80))}, which is not supported.`,
      `Choose a model of one of these types: ${supportedArchitectures.join(', ')}.`
    )
  }
  const architecture = read(json)
  checkConfig(architecture.config)
  return architecture
}

/** Sizes that contradict each other would give wrong numbers without a sign. */
function checkConfig(config: DecoderConfig): void {
  const { headSize, heads, keyValueHeads, rotary, vocabularySize } = config
  if (!Number.isInteger(headSize)) throw unsupported('the hidden size by head', headSize)
  if (heads % keyValueHeads !== 0) throw unsupported('num_key_value_heads', keyValueHeads)
  if (rotary && (!Number.isInteger(rotary.dimensions / 2) || rotary.dimensions > headSize)) {
    throw unsupported('the rotary part of a head', rotary.dimensions)
  }
  const specials = [config.beginToken ?? 0, config.padToken, ...config.endTokens]
  const strange = specials.find((id) => id >= vocabularySize)
  if (strange !== undefined) throw unsupported('a special token beyond vocab_size', strange)
}
