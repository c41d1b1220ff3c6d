// LoRA and (IA)3 worked into the base's own weights: the same answers from a plain model, with no adapter beside it.
import { UserError } from '../errors'
import { layerProjections, type Projection } from '../model/layout'
import type { StoredTensors } from '../training/checkpoint'
import type { RecipePart } from '../training/recipe'
import type { BaseShape, OptionValues } from './method'
import { getMethod, optionsOf } from './registry'

type Values = StoredTensors[string]

/** What a method makes of one linear layer: `weight` by output and input, whichever way round it is stored. */
interface Merge {
  weight(value: number, output: number, input: number): number
  bias?(value: number, output: number): number
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
    if (scale.shape[0] === 1) return { weight: (value, _output, input) => value * scale.data[input]! }
    return { weight: (value, output) => value * scale.data[output]!, bias: (value, output) => value * scale.data[output]! }
  }
}

/**
 * The base's weights that change when a trained adapter is worked into them, by Hugging Face name and in the Hugging Face layout; all others stay.
 * `tensors` are the run's, `weight` gives the base's values. Sums in float64.
 * @throws UserError where the method is no change of linear layers
 */
export function mergedWeights(
  { method: id, options }: Pick<RecipePart, 'method' | 'options'>,
  tensors: StoredTensors,
  { layout }: BaseShape,
  weight: (name: string) => Values
): StoredTensors {
  const method = getMethod(id)
  const merger = mergers[id]
  if (!merger) {
    throw new UserError(
      `${method.title} cannot be worked into the weights.`,
      `Only ${Object.keys(mergers)
        .map((name) => getMethod(name).title)
        .join(' and ')} can.`
    )
  }
  const chosen = optionsOf(method, options)
  const merged: StoredTensors = {}
  for (const projection of layout.layers.flatMap(layerProjections)) {
    const merge = merger(projection, tensors, chosen)
    if (!merge) continue
    const { path, inputs, outputs } = projection
    const { shape, data } = weight(`${path}.weight`)
    const values = projection.layout === 'outIn' ? byPlace(data, inputs, merge) : byPlace(data, outputs, merge, true)
    merged[`${path}.weight`] = { shape: [...shape], data: values }
    if (!projection.bias || !merge.bias) continue
    const bias = weight(`${path}.bias`)
    merged[`${path}.bias`] = { shape: [...bias.shape], data: bias.data.map(merge.bias) }
  }
  return merged
}

/** `[rows, columns]`: a row is an output, or an input where it is `turned`. */
function byPlace(data: Float32Array, columns: number, { weight }: Merge, turned = false): Float32Array {
  return data.map((value, i) => {
    const row = Math.floor(i / columns)
    const column = i % columns
    return turned ? weight(value, column, row) : weight(value, row, column)
  })
}
