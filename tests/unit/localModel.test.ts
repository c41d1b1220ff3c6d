// Which of the chosen files make up the model: those beside the topmost config.json.
import { zipSync } from 'fflate'
import { describe, expect, test } from 'vitest'
import { UserError } from '../../src/engine/errors'
import { modelFolderOf, openLocalModel } from '../../src/worker/sources/local'
import { honest } from './hostileModels'
import { sharded, type Folder } from './modelFolders'

const chosen = (folder: Folder, prefix = '') =>
  Object.entries(folder).map(([name, content]) => ({ path: prefix + name, file: new Blob([content as BlobPart]) }))

describe('the folder of a model', () => {
  const pathsOf = (...paths: string[]) => {
    const { folder, byName } = modelFolderOf(paths.map((path) => [path, path]))
    return { folder, files: [...byName.values()] }
  }

  test('is that of the topmost config.json, without what other programs put there', () => {
    expect(pathsOf('a/b/c/config.json', 'a/b/config.json', 'a/b/model.safetensors', 'a/README.md', 'a/b/.DS_Store')).toEqual({
      folder: 'a/b',
      files: ['a/b/config.json', 'a/b/model.safetensors']
    })
    expect(pathsOf('__MACOSX/config.json', '.git/config.json', 'm/config.json').folder).toBe('m')
    expect(pathsOf('/model.gguf', 'deep/model.safetensors')).toEqual({ folder: '', files: ['/model.gguf'] })
    expect(() => pathsOf()).toThrow(UserError)
  })

  test('gives the model its name, and every file from any place on', async () => {
    const { source, files } = await openLocalModel(chosen(sharded(honest, 2), 'models/My own/'))
    expect(source).toMatchObject({ kind: 'local', name: 'My own' })
    expect(files.map(({ name }) => name)).toContain('model-00002-of-00002.safetensors')
    const pieces: Uint8Array[] = []
    for await (const piece of files[0]!.stream(3)) pieces.push(piece)
    expect(Buffer.concat(pieces).toString()).toBe((honest['config.json'] as string).slice(3))
  })

  test('may be a zip, named after its folder or after itself', async () => {
    const zip = (prefix: string) =>
      zipSync(
        Object.fromEntries(
          Object.entries(honest).map(([name, content]) => [prefix + name, new Uint8Array(Buffer.from(content as Uint8Array))])
        )
      )
    const nameOf = async (prefix: string) =>
      (await openLocalModel([{ path: 'archive.zip', file: new Blob([zip(prefix) as BlobPart]) }])).source
    expect(await nameOf('Mine/')).toMatchObject({ name: 'Mine' })
    expect(await nameOf('')).toMatchObject({ name: 'archive' })
  })

  test('is refused before anything is copied where it cannot be opened', async () => {
    const folder = { ...honest, 'config.json': '{"model_type":"mamba"}' }
    await expect(openLocalModel(chosen(folder))).rejects.toThrow('"mamba"')
  })
})
