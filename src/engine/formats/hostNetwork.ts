// A small network of linear layers applied on the host: what an adapter's network makes, when only that is saved.
import type { StoredTensors } from '../training/checkpoint'

const activations = {
  relu: (value: number) => Math.max(0, value),
  tanh: Math.tanh
} as const

/** Linear layers one after another with an activation between them, by the names of their tensors. */
export interface Network {
  /** `[rows, inputs]`. */
  embedding: string
  /** `<layer>.weight` `[outputs, inputs]` and `<layer>.bias` `[outputs]`. */
  layers: readonly string[]
  activation: keyof typeof activations
}

/** What the network gives for its embedding, `[rows, outputs]`; sums in float64, rounded to float32 after each layer. */
export function applyNetwork({ embedding, layers, activation }: Network, tensors: StoredTensors): StoredTensors[string] {
  return layers.reduce((x, layer, i) => {
    const input = i === 0 ? x.data : x.data.map(activations[activation])
    return linearLayer({ shape: x.shape, data: input }, tensors[`${layer}.weight`]!, tensors[`${layer}.bias`]!.data)
  }, tensors[embedding]!)
}

function linearLayer(x: StoredTensors[string], weight: StoredTensors[string], bias: Float32Array): StoredTensors[string] {
  const [rows, inputs] = x.shape as [number, number]
  const outputs = weight.shape[0]!
  const data = new Float32Array(rows * outputs)
  for (let row = 0; row < rows; row++) {
    for (let output = 0; output < outputs; output++) {
      let sum = bias[output]!
      for (let input = 0; input < inputs; input++) sum += x.data[row * inputs + input]! * weight.data[output * inputs + input]!
      data[row * outputs + output] = sum
    }
  }
  return { shape: [rows, outputs], data }
}
