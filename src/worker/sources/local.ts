// A model of this computer: the files of a folder as they were picked or dropped, or a zip of them.
import { UserError } from '../../engine/errors'
import { blobFiles, missing, type ModelFiles } from '../../engine/formats/modelFiles'
import { allModelFileNames, modelFileNames, openModelFolder } from '../../engine/model/modelFolder'
import { readZip, type ZippedFile } from '../../storage/zip'
import type { ArrivingFile, ArrivingModel } from './keep'
import type { ChosenFile } from './protocol'

const ZIP = /\.zip$/i

/** Zip entries that are read into memory to see what the archive holds. */
const MAXIMUM_INDEX_BYTES = 10_000_000

/**
 * What was chosen, as a model to copy. A folder's files are checked before anything is copied; those of a zip, whose weights cannot be read by
 * ranges, once they lie in storage.
 * @throws UserError where a file is missing, or the model cannot be opened
 */
export async function openLocalModel(chosen: readonly ChosenFile[]): Promise<ArrivingModel> {
  const [only] = chosen
  const isZip = chosen.length === 1 && only !== undefined && ZIP.test(only.path)
  const { name, files } = isZip ? await openZip(only) : await openFolder(chosen)
  return { source: { kind: 'local', name: name.slice(0, 100) || 'My model', id: crypto.randomUUID() }, files }
}

async function openFolder(chosen: readonly ChosenFile[]): Promise<{ name: string; files: ArrivingFile[] }> {
  const { folder, byName } = modelFolderOf(chosen.map((entry) => [entry.path, entry.file]))
  const files = blobFiles(byName)
  const names = await allModelFileNames(files)
  await openModelFolder(files)
  const arriving = names.map((name) => ({ name, bytes: files.size(name), stream: (begin: number) => streamOf(byName.get(name)!, begin) }))
  return { name: folder.split('/').at(-1) ?? '', files: arriving }
}

async function openZip({ path, file }: ChosenFile): Promise<{ name: string; files: ArrivingFile[] }> {
  const { folder, byName } = modelFolderOf([...(await readZip(file))])
  const files = zipFiles(byName)
  modelFileNames(files.names)
  const arriving = (await allModelFileNames(files)).map((name): ArrivingFile => {
    const entry = byName.get(name)
    if (!entry) throw missing(name)
    return { name, bytes: entry.bytes, stream: () => entry.stream(entry.bytes) }
  })
  return { name: folder.split('/').at(-1) || path.split('/').at(-1)!.replace(ZIP, ''), files: arriving }
}

/** The files beside the topmost config.json, by their plain names; without one, those of the topmost folder. */
export function modelFolderOf<File>(entries: readonly (readonly [path: string, file: File])[]): {
  folder: string
  byName: Map<string, File>
} {
  const parts = entries
    .map(([path, file]) => ({ path: path.replace(/^\/+/, '').split('/'), file }))
    // Of archives made on a Mac, and of version control.
    .filter(({ path }) => !path.some((part) => part === '__MACOSX' || part.startsWith('.')))
  const depthFirst = [...parts].sort((a, b) => a.path.length - b.path.length)
  const top = depthFirst.find(({ path }) => path.at(-1) === 'config.json') ?? depthFirst[0]
  if (!top) throw new UserError('There are no files in what was chosen.', 'Choose the folder that holds config.json.')
  const folder = top.path.slice(0, -1).join('/')
  const inside = parts.filter(({ path }) => path.slice(0, -1).join('/') === folder)
  return { folder, byName: new Map(inside.map(({ path, file }) => [path.at(-1)!, file])) }
}

/** Of an archive only small files can be read before it is unpacked. */
function zipFiles(byName: ReadonlyMap<string, ZippedFile>): ModelFiles {
  const entryOf = (name: string): ZippedFile => {
    const entry = byName.get(name)
    if (!entry) throw missing(name)
    return entry
  }
  return { names: [...byName.keys()], size: (name) => entryOf(name).bytes, read: (name) => entryOf(name).read(MAXIMUM_INDEX_BYTES) }
}

async function* streamOf(blob: Blob, begin: number): AsyncGenerator<Uint8Array> {
  const step = 4_000_000
  for (let at = begin; at < blob.size; at += step) yield new Uint8Array(await blob.slice(at, at + step).arrayBuffer())
}
