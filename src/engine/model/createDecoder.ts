// Puts a checkpoint on the device tensor by tensor, after all that its header tells has been checked.
import type { DeviceReport } from '../device/report'
import { assertTensorFits } from '../device/start'
import { Uploader } from '../device/upload'
import { UserError } from '../errors'
import { assertFloatDtype, assertStoredBytes, type StoredTensor } from '../formats/safetensors'
import type { WeightSource } from '../formats/weightSource'
import { canPack } from '../kernels/packed'
import { matrixBytes, type PackingId, type StoredDtype } from '../kernels/packings'
import { readArchitecture } from './architectures'
import { Decoder, type FrozenWeight } from './decoder'
import { packingFor, type Precision } from './precision'
import { matchWeights } from './weights'

export interface CreateOptions {
  /** How matrices are held where the device can hold them packed; elsewhere they are float32. */
  precision?: Precision
  /** Where given, a tensor that is too big for it is refused before anything is read. */
  device?: DeviceReport
  /** Called behind every tensor. */
  onTensor?: (done: number, total: number) => void
}

interface Planned {
  /** Full Hugging Face name, and the name in the source. */
  name: string
  key: string
  tensor: StoredTensor
  packing: PackingId | undefined
}

/**
 * Puts a checkpoint on the current device. Names are bare or full Hugging Face names; one tensor at a time is in the JS heap, and where one fails, what
 * is on the device already is freed.
 * @throws UserError where config.json is not supported, a tensor is missing, misshapen, left over, too big or not of floats; and whatever `source.read` throws
 */
export async function createDecoder(
  configJson: unknown,
  source: WeightSource,
  { precision = 'stored', device, onTensor }: CreateOptions = {}
): Promise<Decoder> {
  const { config, layout } = readArchitecture(configJson)
  const plan = [...matchWeights(config, layout, source.tensors)].map(([name, key]): Planned => {
    const tensor = source.tensors.get(key)!
    assertFloatDtype(key, tensor)
    const packing = tensor.shape.length === 2 && canPack() ? packingFor(precision, tensor.dtype as StoredDtype) : undefined
    if (device) assertTensorFits(device, name, deviceBytes(tensor, packing))
    return { name, key, tensor, packing }
  })
  const weights: Record<string, FrozenWeight> = {}
  const uploader = new Uploader()
  try {
    for (const { name, key, tensor, packing } of plan) {
      const bytes = await source.read(key)
      assertStoredBytes(key, tensor, bytes)
      weights[name] = await uploader.put(key, tensor, bytes, packing)
      onTensor?.(Object.keys(weights).length, plan.length)
    }
  } catch (error) {
    for (const weight of Object.values(weights)) weight.dispose()
    if (!(error instanceof RangeError)) throw error
    throw new UserError(`The model cannot be held as ${precision}: ${error.message}`, 'Load it as stored, or as float32.')
  }
  return new Decoder(config, layout, weights)
}

function deviceBytes({ shape }: StoredTensor, packing: PackingId | undefined): number {
  const [rows = 1, columns = 1] = shape
  return shape.length === 2 ? matrixBytes([rows, columns], packing) : 4 * rows
}
