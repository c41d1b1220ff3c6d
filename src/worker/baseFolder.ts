// A base model as its folder holds it, for what is made of it: nothing is put on the device.
import type { BaseFolder } from '../engine/formats/huggingFace'
import type { ModelFiles } from '../engine/formats/modelFiles'
import { readArchitecture } from '../engine/model/architectures'
import { openModelFolder } from '../engine/model/modelFolder'

/** Written anew, or of the base alone. */
const NOT_KEPT = /^(config\.json|README\.md|.*\.safetensors|.*\.safetensors\.index\.json)$/

/** Throws a `UserError` where a file is missing, or the model is of a kind that is not supported. */
export async function openBaseFolder(files: ModelFiles): Promise<{ base: BaseFolder; card?: string }> {
  const { configJson, weights, card } = await openModelFolder(files)
  const kept = files.names.filter((name) => !NOT_KEPT.test(name))
  const others = await Promise.all(
    kept.map(async (name) => ({ name, data: new Blob([(await files.read(name)) as Uint8Array<ArrayBuffer>]), compress: true }))
  )
  return { base: { ...readArchitecture(configJson), json: configJson, weights, others }, ...(card !== undefined && { card }) }
}
