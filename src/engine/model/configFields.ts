// Reads fields of a Hugging Face config.json, and says in words which one is wrong or not supported.
import * as v from 'valibot'
import { UserError } from '../errors'
import type { Llama3RopeScaling, MlpKind } from './config'

export const count = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(2 ** 31 - 1))
/** Layers are made one by one before any weight is looked at; the deepest published models have 126. */
export const layerCount = v.pipe(count, v.maxValue(1000))
export const positive = v.pipe(v.number(), v.finite(), v.gtValue(0))
const token = v.pipe(v.number(), v.integer(), v.minValue(0))

/** The special tokens, which all families name alike. */
export const tokenFields = {
  bos_token_id: v.nullish(token),
  eos_token_id: v.nullish(v.union([token, v.array(token)])),
  pad_token_id: v.nullish(v.pipe(v.number(), v.integer()))
}

/**
 * The fields that a family reads, checked; other fields are let through unread.
 * @throws UserError naming the first field that is missing or wrong
 */
export function readFields<T extends v.ObjectEntries>(json: unknown, entries: T): v.InferOutput<v.LooseObjectSchema<T, undefined>> {
  const result = v.safeParse(v.looseObject(entries), json)
  if (result.success) {
    refuse(result.output, 'quantization_config', (value) => value == null)
    return result.output
  }
  const issue = result.issues[0]
  const field = v.getDotPath(issue) ?? 'config.json'
  throw new UserError(
    `This model's config.json cannot be used: ${field} should be ${issue.expected ?? 'another value'} and is ${issue.received}.`,
    'Check that config.json belongs to the model and is complete.'
  )
}

/** @throws UserError where the field has a value that the engine does not compute */
export function refuse(fields: object, name: string, accepts: (value: unknown) => boolean): void {
  const value = (fields as Record<string, unknown>)[name]
  if (!accepts(value)) throw unsupported(name, value)
}

export function unsupported(name: string, value: unknown): UserError {
  const shown = JSON.stringify(value) ?? 'absent'
  return new UserError(
    `This model cannot be tuned here: ${name} is ${shown.length > 80 ? `${shown.slice(0, 79)}…` : shown} in its config.json, which is not supported.`,
    'Choose another model.'
  )
}

/** Begin, end and padding tokens; where padding has none of its own, an end token stands in, since padding is never attended to. */
export function readTokens(fields: {
  bos_token_id?: number | null
  eos_token_id?: number | number[] | null
  pad_token_id?: number | null
}): {
  beginToken?: number
  endTokens: number[]
  padToken: number
} {
  const endTokens = fields.eos_token_id == null ? [] : [fields.eos_token_id].flat()
  const { bos_token_id: begin, pad_token_id: pad } = fields
  return {
    ...(begin == null ? {} : { beginToken: begin }),
    endTokens,
    padToken: pad != null && pad >= 0 ? pad : (endTokens[0] ?? 0)
  }
}

const GELU_FORMS: Record<string, MlpKind> = {
  gelu: 'geluErf',
  gelu_new: 'geluTanh',
  gelu_fast: 'geluTanh',
  gelu_pytorch_tanh: 'geluTanh'
}

/** @throws UserError for activations other than the two forms of GELU */
export function readGelu(field: string, activation: string): MlpKind {
  const form = Object.hasOwn(GELU_FORMS, activation) ? GELU_FORMS[activation] : undefined
  if (!form) throw unsupported(field, activation)
  return form
}

const scalingFields = {
  factor: positive,
  low_freq_factor: positive,
  high_freq_factor: positive,
  original_max_position_embeddings: count
}

/** Rotary options, new form (`rope_parameters`) first, then the old one (`rope_theta` and `rope_scaling`). */
export const ropeFields = {
  rope_theta: v.nullish(positive),
  rope_scaling: v.nullish(v.looseObject({})),
  rope_parameters: v.nullish(v.looseObject({ rope_theta: v.nullish(positive), partial_rotary_factor: v.nullish(positive) })),
  partial_rotary_factor: v.nullish(positive)
}

interface RopeFields {
  rope_theta?: number | null
  rope_scaling?: object | null
  rope_parameters?: { rope_theta?: number | null; partial_rotary_factor?: number | null } | null
  partial_rotary_factor?: number | null
}

/** @throws UserError where the rotary embedding is scaled in another way than Llama 3's */
export function readRope(fields: RopeFields): { theta: number; partial: number; scaling?: Llama3RopeScaling } {
  const theta = fields.rope_parameters?.rope_theta ?? fields.rope_theta ?? 10000
  const partial = fields.rope_parameters?.partial_rotary_factor ?? fields.partial_rotary_factor ?? 1
  const name = fields.rope_parameters ? 'rope_parameters' : 'rope_scaling'
  const options = (fields[name] ?? {}) as Record<string, unknown>
  const type = options.rope_type ?? options.type ?? 'default'
  if (type === 'default') return { theta, partial }
  if (type !== 'llama3') throw unsupported(`${name}.rope_type`, type)
  const scaling = readFields(options, scalingFields)
  return {
    theta,
    partial,
    scaling: {
      factor: scaling.factor,
      lowFrequencyFactor: scaling.low_freq_factor,
      highFrequencyFactor: scaling.high_freq_factor,
      originalMaximumPositions: scaling.original_max_position_embeddings
    }
  }
}
