// What people bring to the library, told apart by its names: archives of runs, and PEFT adapters as zips or loose files.
import { UserError } from '../engine/errors'
import type { PeftFiles } from '../engine/formats/peft'
import { readZip } from './zip'

const CONFIG = 'adapter_config.json'
const TENSORS = 'adapter_model.safetensors'
const maximumConfigBytes = 1_000_000
/** Browsers fail at single buffers much above. */
const maximumTensorBytes = 2_000_000_000

/** A file, and where it lay among the others. */
export interface BroughtFile {
  path: string
  file: Blob
}

export interface Brought {
  /** Zips of `exportRun`, which are checked when they are imported. */
  archives: Blob[]
  /** Adapters that act together, named after what they came in. */
  adapters?: { name: string; files: PeftFiles[] }
}

interface Entry {
  bytes: number
  read(maximumBytes: number): Promise<Uint8Array<ArrayBuffer>>
}

/**
 * Sorts what was chosen or dropped and reads the adapters among it. All adapters of one zip, or all loose ones, act together.
 * @throws UserError where a file is none of these, half of an adapter is missing, or a zip is damaged
 */
export async function sortBrought(files: readonly BroughtFile[]): Promise<Brought> {
  const archives: Blob[] = []
  const loose = new Map<string, Entry>()
  let adapters: Brought['adapters']
  for (const { path, file } of files) {
    if (!/\.zip$/i.test(path)) {
      loose.set(path, { bytes: file.size, read: (maximumBytes) => readFile(path, file, maximumBytes) })
      continue
    }
    const entries = await readZip(file)
    if (entries.has('run.json')) archives.push(file)
    else adapters = { name: path.slice(path.lastIndexOf('/') + 1).replace(/\.zip$/i, ''), files: await adaptersAmong(entries) }
  }
  if (loose.size > 0) adapters = { name: folderOf(loose) ?? 'Imported adapter', files: await adaptersAmong(loose) }
  return { archives, ...(adapters && { adapters }) }
}

/** What all files lie in. */
function folderOf(files: ReadonlyMap<string, unknown>): string | undefined {
  const folders = new Set([...files.keys()].map((path) => (path.includes('/') ? path.slice(0, path.indexOf('/')) : '')))
  return folders.size === 1 ? [...folders][0] || undefined : undefined
}

async function adaptersAmong(entries: ReadonlyMap<string, Entry>): Promise<PeftFiles[]> {
  const names = [...entries.keys()]
  const folders = names.filter((name) => name === CONFIG || name.endsWith(`/${CONFIG}`)).map((name) => name.slice(0, -CONFIG.length))
  if (folders.length === 0) throw unknown(names)
  if (names.some((name) => /(^|\/)(model|changed)[^/]*\.safetensors$/.test(name))) {
    throw new UserError(
      'These files hold tuned weights beside the adapter, which cannot come in together.',
      'Import the Tuneground archive of the run, or open the model in the playground.'
    )
  }
  return Promise.all(
    folders.map(async (folder) => {
      const tensors = entries.get(folder + TENSORS)
      if (!tensors) throw new UserError(`There is no ${TENSORS} beside ${folder}${CONFIG}.`, 'Choose both files, or a zip of their folder.')
      return {
        [CONFIG]: await entries.get(folder + CONFIG)!.read(maximumConfigBytes),
        [TENSORS]: await tensors.read(maximumTensorBytes)
      }
    })
  )
}

function unknown(names: readonly string[]): UserError {
  const has = (pattern: RegExp) => names.some((name) => pattern.test(name))
  if (has(/(^|\/)adapter_model\.bin$/)) {
    return new UserError('This adapter is a Python pickle, which is a program and is never opened here.', `Save it as ${TENSORS}.`)
  }
  if (has(/(^|\/)adapter_model\.safetensors$/)) {
    return new UserError(`There is no ${CONFIG} beside the adapter.`, 'Choose both files, or a zip of their folder.')
  }
  if (has(/(^|\/)model.*\.safetensors/)) {
    return new UserError('This is a whole model, not a run or an adapter.', 'Open it in the playground, as the model to tune.')
  }
  return new UserError(
    `${JSON.stringify((names[0] ?? 'This').slice(0, 80))} is neither an exported run nor an adapter.`,
    `Choose a zip that was exported here, or ${CONFIG} together with ${TENSORS}.`
  )
}

async function readFile(path: string, file: Blob, maximumBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  if (file.size > maximumBytes) {
    throw new UserError(`${path} has ${file.size} bytes, and ${maximumBytes} are allowed.`, 'Choose the files of a PEFT adapter.')
  }
  return new Uint8Array(await file.arrayBuffer())
}
