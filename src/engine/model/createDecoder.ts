// Puts a checkpoint on the device tensor by tensor, after all that its header tells has been checked.
import * as tf from '@tensorflow/tfjs'
import type { DeviceReport } from '../device/report'
import { assertTensorFits } from '../device/start'
import { Uploader } from '../device/upload'
import { assertFloatDtype, decodeTensor } from '../formats/safetensors'
import type { WeightSource } from '../formats/weightSource'
import type { NamedTensors } from '../methods/method'
import { readArchitecture } from './architectures'
import { Decoder } from './decoder'
import { weightShapes } from './layout'
import { matchWeights } from './weights'

export interface CreateOptions {
  /** Where given, a tensor that is too big for it is refused before anything is read. */
  device?: DeviceReport
  /** Called behind every tensor. */
  onTensor?: (done: number, total: number) => void
}

const FLOAT32_BYTES = 4

/**
 * Puts a checkpoint on the current device. Names are bare or full Hugging Face names; one tensor at a time is in the JS heap, and where one fails, what
 * is on the device already is freed.
 * @throws UserError where config.json is not supported, a tensor is missing, misshapen, left over, too big or not of floats; and whatever `source.read` throws
 */
export async function createDecoder(configJson: unknown, source: WeightSource, { device, onTensor }: CreateOptions = {}): Promise<Decoder> {
  const { config, layout } = readArchitecture(configJson)
  const matched = matchWeights(config, layout, source.tensors)
  const shapes = weightShapes(config, layout)
  for (const [name, key] of matched) {
    assertFloatDtype(key, source.tensors.get(key)!)
    if (device) assertTensorFits(device, name, FLOAT32_BYTES * shapes[name]!.reduce((product, size) => product * size, 1))
  }
  const weights: NamedTensors = {}
  const uploader = new Uploader()
  try {
    for (const [name, key] of matched) {
      const values = decodeTensor(key, source.tensors.get(key)!, await source.read(key), true)
      weights[name] = await uploader.put(values, shapes[name]!)
      onTensor?.(Object.keys(weights).length, matched.size)
    }
  } catch (error) {
    tf.dispose(weights)
    throw error
  }
  return new Decoder(config, layout, weights)
}
