// What a recipe makes of the base's own weights: trained copies in their place, LoRA and (IA)3 worked in, with no adapter beside the model.
import { UserError } from '../errors'
import { layerProjections, weightShapes, type Projection } from '../model/layout'
import type { StoredTensors } from '../training/checkpoint'
import type { RecipePart } from '../training/recipe'
import type { BaseShape, OptionValues } from './method'
import { getMethod, optionsOf } from './registry'

/** What becomes of one weight's values, in the Hugging Face layout; gives a new array, or the trained one. */
export type WeightChange = (values: Float32Array) => Float32Array

/** What a method makes of one linear layer: `weight` by output and input, whichever way round it is stored. */
interface Merge {
  weight(value: number, output: number, input: number): number
  bias?(value: number, output: number): number
  /** Of what the layer reads: before everything that reads it too. */
  ofInput?: boolean
}

const mergers: Record<string, (projection: Projection, tensors: StoredTensors, options: OptionValues) => Merge | undefined> = {
  lora: ({ path, inputs }, tensors, { rank, alpha, rankStabilised }) => {
    const a = tensors[`${path}.lora_A.weight`]?.data
    const b = tensors[`${path}.lora_B.weight`]?.data
    if (!a || !b) return undefined
    const width = rank as number
    const scale = (alpha as number) / (rankStabilised ? Math.sqrt(width) : width)
    return {
      weight(value, output, input) {
        let sum = 0
        for (let i = 0; i < width; i++) sum += b[output * width + i]! * a[i * inputs + input]!
        return value + scale * sum
      }
    }
  },

  ia3: ({ path }, tensors) => {
    const scale = tensors[`${path}.ia3_l`]
    if (!scale) return undefined
    if (scale.shape[0] === 1) return { weight: (value, _output, input) => value * scale.data[input]!, ofInput: true }
    return { weight: (value, output) => value * scale.data[output]!, bias: (value, output) => value * scale.data[output]! }
  }
}

/** Whether a part's tensors can become a change of the base's own weights. */
export function changesWeights({ method: id }: Pick<RecipePart, 'method'>): boolean {
  const { changesBase, trains } = getMethod(id)
  return changesBase || !trains || Object.hasOwn(mergers, id)
}

/** True of a part that stands beside the weights, and can be worked into them. */
export const isMergeable = ({ method }: Pick<RecipePart, 'method'>): boolean => Object.hasOwn(mergers, method)

/**
 * How the base's weights change when trained parts are worked into them, by Hugging Face name; all others stay. Several parts act one after another,
 * as they do beside the model. `tensors` are the run's. Sums in float64.
 * @throws UserError where a part is no change of weights
 */
export function weightChanges(
  parts: readonly Pick<RecipePart, 'method' | 'options'>[],
  tensors: StoredTensors,
  { config, layout }: BaseShape
): Map<string, WeightChange> {
  const strange = parts.find((part) => !changesWeights(part))
  if (strange) {
    throw new UserError(
      `${getMethod(strange.method).title} cannot be worked into the weights.`,
      `Only ${Object.keys(mergers)
        .map((name) => getMethod(name).title)
        .join(' and ')} can.`
    )
  }
  const changes = new Map<string, WeightChange>()
  const add = (name: string, change: WeightChange): void => {
    const before = changes.get(name)
    changes.set(name, before ? (values) => change(before(values)) : change)
  }
  for (const name of Object.keys(weightShapes(config, layout))) {
    const trained = tensors[name]
    if (trained) add(name, () => trained.data)
  }
  for (const projection of layout.layers.flatMap(layerProjections)) {
    const { path, inputs, outputs } = projection
    for (const { weight, bias } of mergesOf(projection, parts, tensors)) {
      add(`${path}.weight`, (values) =>
        projection.layout === 'outIn' ? byPlace(values, inputs, weight) : byPlace(values, outputs, weight, true)
      )
      if (projection.bias && bias) add(`${path}.bias`, (values) => values.map(bias))
    }
  }
  return changes
}

/** In the order of the parts; those of the input last, since the other parts read the changed input. */
function mergesOf(projection: Projection, parts: readonly Pick<RecipePart, 'method' | 'options'>[], tensors: StoredTensors): Merge[] {
  const merges = parts.flatMap(({ method: id, options }) => mergers[id]?.(projection, tensors, optionsOf(getMethod(id), options)) ?? [])
  return [...merges.filter(({ ofInput }) => !ofInput), ...merges.filter(({ ofInput }) => ofInput)]
}

/** `[rows, columns]`: a row is an output, or an input where it is `turned`. */
function byPlace(values: Float32Array, columns: number, weight: Merge['weight'], turned = false): Float32Array {
  return values.map((value, i) => {
    const row = Math.floor(i / columns)
    const column = i % columns
    return turned ? weight(value, column, row) : weight(value, row, column)
  })
}
