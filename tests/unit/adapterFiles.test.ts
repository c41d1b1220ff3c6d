// What people bring to the library, told apart, and refused in words where it is neither a run nor an adapter.
import { strToU8, zipSync } from 'fflate'
import { expect, it } from 'vitest'
import { sortBrought as sort } from '../../src/storage/adapterFiles'

const config = strToU8('{"peft_type":"LORA"}')
const tensors = strToU8('numbers')

const sortBrought = (files: File[]) => sort(files.map((file) => ({ path: file.name, file })))

const zip = (name: string, files: Record<string, Uint8Array>) => new File([zipSync(files)], name)
const loose = (name: string) => new File([name.endsWith('.json') ? config : (tensors as Uint8Array<ArrayBuffer>)], name)

it('takes loose files of an adapter, in any order, beside archives of runs', async () => {
  const archive = zip('run.zip', { 'run.json': config })
  const { archives, adapters } = await sortBrought([loose('adapter_model.safetensors'), archive, loose('adapter_config.json')])
  expect(archives).toEqual([archive])
  expect(adapters?.files).toHaveLength(1)
  expect(new TextDecoder().decode(adapters?.files[0]?.['adapter_model.safetensors'])).toBe('numbers')
})

it('takes all adapters of a zip together, whichever folders they are in', async () => {
  const files = Object.fromEntries(
    ['lora', 'a/softPrompt'].flatMap((folder) => [
      [`${folder}/adapter_config.json`, config],
      [`${folder}/adapter_model.safetensors`, tensors]
    ])
  )
  const { archives, adapters } = await sortBrought([zip('reviews hybrid.zip', { ...files, 'README.md': strToU8('#') })])
  expect(archives).toEqual([])
  expect(adapters).toMatchObject({ name: 'reviews hybrid', files: [{}, {}] })
})

it('takes a folder, by its name', async () => {
  const names = ['mine/adapter_model.safetensors', 'mine/adapter_config.json', 'mine/README.md']
  const { adapters } = await sort(names.map((path) => ({ path, file: loose(path.slice(5)) })))
  expect(adapters).toMatchObject({ name: 'mine', files: [{}] })
})

it.each([
  ['half an adapter', [loose('adapter_config.json')], 'There is no adapter_model.safetensors beside adapter_config.json.'],
  ['the other half', [loose('adapter_model.safetensors')], 'There is no adapter_config.json beside'],
  ['a pickle', [loose('adapter_config.json'), loose('adapter_model.bin')].slice(1), 'Python pickle'],
  ['a whole model', [zip('m.zip', { 'config.json': config, 'model.safetensors': tensors })], 'a whole model'],
  ['a text', [new File(['hello'], 'notes.json')], '"notes.json" is neither'],
  ['a zip that is none', [new File(['hello'], 'a.zip')], 'cannot be read'],
  [
    'an adapter with the weights that it stands on',
    [zip('h.zip', { 'lora/adapter_config.json': config, 'lora/adapter_model.safetensors': tensors, 'model/model.safetensors': tensors })],
    'tuned weights beside the adapter'
  ]
])('refuses %s', async (_, files, message) => {
  await expect(sortBrought(files)).rejects.toMatchObject({ name: 'UserError', message: expect.stringContaining(message) as string })
})
