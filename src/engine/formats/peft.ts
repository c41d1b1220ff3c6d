// Adapters as PEFT 0.21 keeps them, in and out: adapter_config.json and adapter_model.safetensors.
import * as v from 'valibot'
import { UserError } from '../errors'
import { scaledLayers } from '../methods/ia3'
import type { BaseShape, OptionValues } from '../methods/method'
import { promptNetwork } from '../methods/pTuning'
import { prefixNetwork, prefixSide, prefixWidth } from '../methods/prefix'
import { getMethod, optionsOf } from '../methods/registry'
import { moduleNames, presetNames, targetProjections } from '../methods/targets'
import { layerProjections } from '../model/layout'
import type { StoredTensors } from '../training/checkpoint'
import type { RecipePart } from '../training/recipe'
import { applyNetwork } from './hostNetwork'
import { unsupportedLora, writePeftConfig, type PeftConfig, type PeftType } from './peftConfig'
import { readSafetensors, tensorToFloat32, writeSafetensors } from './safetensors'

/** A PEFT adapter's folder. */
export interface PeftFiles {
  'adapter_config.json': Uint8Array<ArrayBuffer>
  'adapter_model.safetensors': Uint8Array<ArrayBuffer>
}

/** A base as adapters name it: its Hugging Face id or folder, null where it has none. */
export interface NamedBase extends BaseShape {
  name: string | null
  revision?: string
}

interface Written {
  type: PeftType
  config: PeftConfig
  tensors: StoredTensors
}

interface Read {
  method: string
  options: OptionValues
  tensors: StoredTensors
}

/** What PEFT puts before a module's name. */
const WRAPPER = 'base_model.model.'
const PROMPT = 'prompt_embeddings'

const writers: Record<string, (tensors: StoredTensors, base: BaseShape, options: OptionValues) => Written> = {
  softPrompt: (tensors, { config }) => {
    const prompt = tensorOf(tensors, 'virtualTokens')
    return {
      type: 'PROMPT_TUNING',
      config: promptFields(prompt, config.heads, config.layers, config.hiddenSize),
      tensors: { [PROMPT]: prompt }
    }
  },

  // PEFT keeps the prompt that the network makes, not the network.
  pTuning: (tensors, { config }, options) => {
    const prompt = applyNetwork(promptNetwork, tensors)
    const fields = promptFields(prompt, config.heads, config.layers, config.hiddenSize)
    return { type: 'P_TUNING', config: { ...fields, encoder_hidden_size: options.width }, tensors: { [PROMPT]: prompt } }
  },

  prefix: (tensors, { config }, { reparameterise }) => {
    const width = prefixWidth(config)
    const sides = prefixSides(config.layers).map(({ layer, side }) =>
      reparameterise ? applyNetwork(prefixNetwork(layer, side), tensors) : tensorOf(tensors, prefixSide(layer, side))
    )
    const prefix = besideEachOther(sides)
    const fields = promptFields(prefix, config.keyValueHeads, config.layers, width)
    return {
      type: 'PREFIX_TUNING',
      config: { ...fields, encoder_hidden_size: width, prefix_projection: reparameterise },
      tensors: { [PROMPT]: prefix }
    }
  },

  lora: (tensors, { layout }, options) => {
    const targets = targetProjections(layout, options.targets as string, options.modules as string)
    return {
      type: 'LORA',
      config: {
        r: options.rank,
        lora_alpha: options.alpha,
        lora_dropout: options.dropout,
        use_rslora: options.rankStabilised,
        target_modules: moduleNames(
          layout,
          targets.map(({ path }) => path)
        ).sort(),
        fan_in_fan_out: targets.some((target) => target.layout === 'inOut')
      },
      tensors: wrapped(
        tensors,
        targets.flatMap(({ path }) => [`${path}.lora_A.weight`, `${path}.lora_B.weight`])
      )
    }
  },

  ia3: (tensors, { layout }) => {
    const scaled = scaledLayers(layout)
    const namesOf = (layers: typeof scaled): string[] =>
      moduleNames(
        layout,
        layers.map(({ path }) => path)
      ).sort()
    return {
      type: 'IA3',
      config: {
        target_modules: namesOf(scaled),
        feedforward_modules: namesOf(scaled.filter(({ shape }) => shape[0] === 1)),
        fan_in_fan_out: layout.layers.some(({ down }) => down.layout === 'inOut')
      },
      tensors: wrapped(
        tensors,
        scaled.map(({ path }) => `${path}.ia3_l`)
      )
    }
  }
}

/** Whether PEFT has adapters of this method. */
export const isPeftMethod = (method: string): boolean => Object.hasOwn(writers, method)

/**
 * The files of one method's adapter, as PEFT 0.21 would save it: same keys, shapes and dtypes. `tensors` are the run's; those of other parts are left out.
 * The networks of P-tuning and of a reparameterised prefix are applied, as PEFT does, since only their result is needed from then on.
 * @throws UserError where PEFT has no such adapter
 */
export function exportPeft(
  { method: id, options }: Pick<RecipePart, 'method' | 'options'>,
  tensors: StoredTensors,
  base: NamedBase
): PeftFiles {
  const method = getMethod(id)
  const write = writers[id]
  if (!write) throw new UserError(`${method.title} makes no adapter that PEFT could read.`, 'Save the model itself instead.')
  const { type, config, tensors: named } = write(tensors, base, optionsOf(method, options))
  return {
    'adapter_config.json': writePeftConfig(type, { ...config, base_model_name_or_path: base.name, revision: base.revision ?? null }),
    'adapter_model.safetensors': writeSafetensors(named, { format: 'pt' })
  }
}

const readers: Record<PeftType, (tensors: StoredTensors, base: BaseShape, config: PeftConfig) => Read> = {
  PROMPT_TUNING: readPrompt,
  P_TUNING: readPrompt,

  PREFIX_TUNING: (tensors, { config }) => {
    const width = prefixWidth(config)
    const sides = prefixSides(config.layers)
    const prefix = onlyPrompt(tensors, sides.length * width)
    const columns = (from: number) => ({ shape: [prefix.shape[0]!, width], data: columnsOf(prefix, from, width) })
    return {
      method: 'prefix',
      options: { virtualTokens: prefix.shape[0]! },
      tensors: Object.fromEntries(sides.map(({ layer, side }, i) => [prefixSide(layer, side), columns(i * width)]))
    }
  },

  LORA: (tensors, { layout }, config) => {
    const { r: rank, lora_alpha: alpha, lora_dropout: dropout, use_rslora: rankStabilised } = fieldsOf(config, loraFields)
    const strange = unsupportedLora.find((name) => !isOff(config[name]))
    if (strange !== undefined) throw unsupported(strange, config[strange])
    const own = unwrapped(tensors)
    const adapted = layout.layers.flatMap(layerProjections).filter(({ path }) => own[`${path}.lora_A.weight`])
    const shapes = Object.fromEntries(
      adapted.flatMap(({ path, inputs, outputs }) => [
        [`${path}.lora_A.weight`, [rank, inputs]],
        [`${path}.lora_B.weight`, [outputs, rank]]
      ])
    )
    expectShapes(own, shapes)
    return {
      method: 'lora',
      options: {
        rank,
        alpha,
        dropout,
        rankStabilised,
        ...targetsOf(
          layout,
          adapted.map(({ path }) => path)
        )
      },
      tensors: own
    }
  },

  IA3: (tensors, { layout }) => {
    const own = unwrapped(tensors)
    expectShapes(own, Object.fromEntries(scaledLayers(layout).map(({ path, shape }) => [`${path}.ia3_l`, shape])))
    return { method: 'ia3', options: {}, tensors: own }
  }
}

/**
 * One method's part of a recipe and its tensors, from a PEFT adapter for this base: to evaluate, or to go on from. A P-tuning adapter holds the
 * finished prompt alone and comes back as a soft prompt. Rates are the registry's: PEFT does not store them.
 * @throws UserError where a file is damaged, the adapter is of a kind that the engine does not compute, or belongs to another base
 */
export function importPeft(files: PeftFiles, base: BaseShape): { recipePart: RecipePart; tensors: StoredTensors } {
  const config = parseConfig(files['adapter_config.json'])
  const { peft_type: type } = fieldsOf(config, { peft_type: v.string() })
  if (!Object.hasOwn(readers, type)) {
    throw new UserError(
      `This adapter is of the kind ${quote(type)}, which cannot be used here.`,
      `Choose an adapter of one of these kinds: ${Object.keys(readers).join(', ')}.`
    )
  }
  if (!isOff(config.modules_to_save)) throw unsupported('modules_to_save', config.modules_to_save)
  if (!isOff(config.bias) && config.bias !== 'none') throw unsupported('bias', config.bias)
  const file = readSafetensors(files['adapter_model.safetensors'])
  const stored = Object.fromEntries([...file.tensors].map(([name, { shape }]) => [name, { shape, data: tensorToFloat32(file, name) }]))
  const { method: id, options, tensors } = readers[type as PeftType](stored, base, config)
  const method = getMethod(id)
  const { learningRate, weightDecay } = method.defaults
  return { recipePart: { method: id, options: optionsOf(method, options), learningRate, weightDecay }, tensors }
}

function readPrompt(tensors: StoredTensors, { config }: BaseShape): Read {
  const virtualTokens = onlyPrompt(tensors, config.hiddenSize)
  return { method: 'softPrompt', options: { virtualTokens: virtualTokens.shape[0]! }, tensors: { virtualTokens } }
}

const loraFields = {
  r: v.pipe(v.number(), v.integer(), v.minValue(1)),
  lora_alpha: v.pipe(v.number(), v.finite()),
  lora_dropout: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(0.99)), 0),
  use_rslora: v.optional(v.boolean(), false)
}

function promptFields(prompt: StoredTensors[string], heads: number, layers: number, width: number): PeftConfig {
  return { num_attention_heads: heads, num_layers: layers, num_virtual_tokens: prompt.shape[0], token_dim: width }
}

/** In PEFT's order: the first layer's keys, its values, the next layer's keys. */
const prefixSides = (layers: number) =>
  Array.from({ length: layers }, (_, layer) => [
    { layer, side: 'key' as const },
    { layer, side: 'value' as const }
  ]).flat()

function besideEachOther(sides: StoredTensors[string][]): StoredTensors[string] {
  const [rows, width] = sides[0]!.shape as [number, number]
  const data = new Float32Array(rows * width * sides.length)
  sides.forEach((side, i) => {
    for (let row = 0; row < rows; row++) data.set(side.data.subarray(row * width, (row + 1) * width), (row * sides.length + i) * width)
  })
  return { shape: [rows, width * sides.length], data }
}

function columnsOf({ shape, data }: StoredTensors[string], from: number, width: number): Float32Array {
  const [rows, all] = shape as [number, number]
  const columns = new Float32Array(rows * width)
  for (let row = 0; row < rows; row++) columns.set(data.subarray(row * all + from, row * all + from + width), row * width)
  return columns
}

function tensorOf(tensors: StoredTensors, name: string): StoredTensors[string] {
  const tensor = tensors[name]
  if (!tensor) throw new UserError(`This run has no tensor ${quote(name)}.`, 'Export another run, or tune this one again.')
  return tensor
}

const wrapped = (tensors: StoredTensors, names: string[]): StoredTensors =>
  Object.fromEntries(names.map((name) => [WRAPPER + name, tensorOf(tensors, name)]))

const unwrapped = (tensors: StoredTensors): StoredTensors =>
  Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => [name.startsWith(WRAPPER) ? name.slice(WRAPPER.length) : name, tensor])
  )

/** The one tensor of a prompt, `[virtualTokens, width]`. */
function onlyPrompt(tensors: StoredTensors, width: number): StoredTensors[string] {
  const rows = tensors[PROMPT]?.shape[0] ?? 1
  expectShapes(tensors, { [PROMPT]: [rows, width] })
  return tensors[PROMPT]!
}

/** The adapter must hold exactly these tensors. */
function expectShapes(tensors: StoredTensors, shapes: Record<string, readonly number[]>): void {
  const advice = 'Choose the model that this adapter was made for.'
  const extra = Object.keys(tensors).find((name) => !Object.hasOwn(shapes, name))
  if (extra !== undefined)
    throw new UserError(`This adapter does not fit the model: it has ${quote(extra)}, for which there is no place.`, advice)
  const expected = Object.entries(shapes)
  if (expected.length === 0) throw new UserError('This adapter holds no tensors.', 'Save it again, or choose another.')
  for (const [name, shape] of expected) {
    const found = tensors[name]
    if (!found) throw new UserError(`This adapter does not fit the model: ${quote(name)} is missing.`, advice)
    if (found.shape.join() === shape.join()) continue
    throw new UserError(
      `This adapter does not fit the model: ${quote(name)} has the shape [${found.shape.join(', ')}], and [${shape.join(', ')}] is needed.`,
      advice
    )
  }
}

/** LoRA's options for these modules: a preset where one means the same, else their names. */
function targetsOf(layout: BaseShape['layout'], paths: string[]): OptionValues {
  const same = (preset: string): boolean =>
    targetProjections(layout, preset)
      .map(({ path }) => path)
      .sort()
      .join() === [...paths].sort().join()
  const preset = presetNames.find(same)
  return preset ? { targets: preset } : { targets: 'named', modules: moduleNames(layout, paths).join(', ') }
}

function parseConfig(bytes: Uint8Array): PeftConfig {
  try {
    const parsed: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed as PeftConfig
  } catch {
    // Said below, for whatever is not JSON and for JSON that is no object alike.
  }
  throw new UserError('adapter_config.json cannot be read: it is not a JSON object.', 'Save or fetch the adapter again.')
}

function fieldsOf<T extends v.ObjectEntries>(config: PeftConfig, entries: T): v.InferOutput<v.ObjectSchema<T, undefined>> {
  const result = v.safeParse(v.object(entries), config)
  if (result.success) return result.output
  const issue = result.issues[0]
  throw new UserError(
    `adapter_config.json cannot be used: ${v.getDotPath(issue) ?? 'it'} should be ${issue.expected ?? 'another value'} and is ${issue.received}.`,
    'Save or fetch the adapter again.'
  )
}

const isOff = (value: unknown): boolean => !value || (typeof value === 'object' && Object.keys(value).length === 0)

const quote = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 79)}…` : text)

const unsupported = (name: string, value: unknown): UserError =>
  new UserError(
    `This adapter cannot be used here: ${name} is ${quote(JSON.stringify(value))}, which is not supported.`,
    'Choose an adapter without it.'
  )
