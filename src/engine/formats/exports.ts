// The table of forms in which a run can leave the library, which recipes each of them fits, and the files of each.
import { getMethod } from '../methods/registry'
import { changesWeights, isMergeable, weightChanges } from '../methods/merge'
import type { StoredTensors } from '../training/checkpoint'
import type { RecipePart } from '../training/recipe'
import { changedModel, changedTensors, type BaseFolder, type FolderFile } from './huggingFace'
import { exportPeft, isPeftMethod } from './peft'

export type ExportKind = 'peft' | 'merged' | 'huggingFace' | 'changed'

type Part = Pick<RecipePart, 'method' | 'options'>

/** What an export makes its files of. */
export interface ExportSubject {
  parts: readonly Part[]
  /** The run's best, without moments. */
  tensors: StoredTensors
  base: BaseFolder
  /** As `from_pretrained` finds it. */
  baseName: string
  baseRevision?: string
}

export interface ExportRow {
  kind: ExportKind
  title: string
  /** One sentence for someone who chooses. */
  help: string
  /** Why a recipe of these parts cannot leave in this form, in one sentence; undefined where it can. */
  refusal(parts: readonly Part[]): string | undefined
  files(subject: ExportSubject): Promise<FolderFile[]>
  /** Python that loads those files, line by line. */
  load(subject: Pick<ExportSubject, 'parts' | 'baseName'>): string[]
}

const rows: ExportRow[] = [
  {
    kind: 'peft',
    title: 'PEFT adapter',
    help: 'A small folder beside the model that PEFT 0.21 loads; where weights were tuned too, their model comes with it.',
    refusal(parts) {
      const adapters = parts.filter(isAdapter)
      const lost = parts.find((part) => isTrained(part) && !isAdapter(part) && !changesWeights(part))
      if (lost) return `PEFT has no file for ${title(lost)}.`
      if (adapters.length === 0) return `${titles(parts)} leaves no adapter beside the model.`
      if (adapters.filter((part) => !isMergeable(part)).length > 1) return 'PEFT puts one prompt in front of a model, and this run has two.'
      const order = adapters.map(({ method }) => method)
      const swapped = order.includes('ia3') && order.indexOf('ia3') < order.indexOf('lora')
      return swapped ? 'PEFT would apply LoRA and (IA)³ in another order: take the merged model.' : undefined
    },
    async files({ parts, tensors, base, baseName, baseRevision }) {
      const { config, layout } = base
      const named = { config, layout, name: baseName, revision: baseRevision }
      const adapters = parts.filter(isAdapter)
      const weights = parts.filter(({ method }) => getMethod(method).changesBase)
      if (adapters.length === 1 && weights.length === 0) return peftFiles(exportPeft(adapters[0]!, tensors, named))
      return [
        ...(weights.length > 0 ? within(MODEL, await changedModel(base, weightChanges(weights, tensors, base))) : []),
        ...adapters.flatMap((part) =>
          within(part.method, peftFiles(exportPeft(part, tensors, weights.length > 0 ? { config, layout, name: MODEL } : named)))
        )
      ]
    },
    load({ parts, baseName }) {
      const adapters = parts.filter(isAdapter)
      const weights = parts.filter(({ method }) => getMethod(method).changesBase)
      const base = `AutoModelForCausalLM.from_pretrained(${text(weights.length > 0 ? MODEL : baseName)}, dtype="float32")`
      const imports = ['from peft import PeftModel', 'from transformers import AutoModelForCausalLM']
      if (adapters.length === 1 && weights.length === 0) return [...imports, `model = PeftModel.from_pretrained(${base}, ".")`]
      // PEFT keeps one kind at a time: what can be worked into the weights is, and the prompt goes on top.
      const last = adapters.filter((part) => !isMergeable(part))
      const merged = adapters
        .filter(isMergeable)
        .map(({ method }) => `model = PeftModel.from_pretrained(model, ${text(method)}).merge_and_unload()`)
      return [
        ...imports,
        `model = ${base}`,
        ...merged,
        ...last.map(({ method }) => `model = PeftModel.from_pretrained(model, ${text(method)})`)
      ]
    }
  },
  {
    kind: 'merged',
    title: 'Merged model',
    help: 'The whole model with LoRA or (IA)³ worked into its weights: it needs no PEFT, and is as big as the base.',
    refusal(parts) {
      const beside = parts.find((part) => isTrained(part) && !changesWeights(part))
      if (beside) return `${title(beside)} cannot be worked into the weights.`
      return parts.some(isMergeable) ? undefined : `${titles(parts)} leaves nothing to be merged.`
    },
    files: ({ parts, tensors, base }) => changedModel(base, weightChanges(parts, tensors, base)),
    load: () => modelLines('.')
  },
  {
    kind: 'huggingFace',
    title: 'Hugging Face folder',
    help: 'The whole tuned model, as Transformers and this playground load it.',
    refusal: baseIsLeft,
    files: ({ parts, tensors, base }) => changedModel(base, weightChanges(parts, tensors, base)),
    load: () => modelLines('.')
  },
  {
    kind: 'changed',
    title: 'Changed tensors',
    help: 'Only the weights that were tuned, to be loaded over the base.',
    refusal: baseIsLeft,
    files: async ({ parts, tensors, base }) => [await changedTensors(base, weightChanges(parts, tensors, base))],
    load: ({ baseName }) => [
      'from safetensors.torch import load_file',
      'from transformers import AutoModelForCausalLM',
      `model = AutoModelForCausalLM.from_pretrained(${text(baseName)}, dtype="float32")`,
      'model.load_state_dict(load_file("changed.safetensors"), strict=False)'
    ]
  }
]

export const exportTable: readonly ExportRow[] = rows

/** The folder of a changed model beside adapters. */
const MODEL = 'model'

const isTrained = ({ method }: Part): boolean => getMethod(method).trains
const isAdapter = ({ method }: Part): boolean => isPeftMethod(method)
const title = ({ method }: Part): string => getMethod(method).title
const titles = (parts: readonly Part[]): string => parts.map(title).join(' with ')

function baseIsLeft(parts: readonly Part[]): string | undefined {
  const beside = parts.find((part) => isTrained(part) && !getMethod(part.method).changesBase)
  if (beside) return `${title(beside)} leaves the base as it is.`
  return parts.some(isTrained) ? undefined : `${titles(parts)} leaves the base as it is.`
}

const peftFiles = (files: ReturnType<typeof exportPeft>): FolderFile[] =>
  Object.entries(files).map(([name, bytes]: [string, Uint8Array<ArrayBuffer>]) => ({ name, data: new Blob([bytes]), compress: false }))

const within = (folder: string, files: readonly FolderFile[]): FolderFile[] =>
  files.map((file) => ({ ...file, name: `${folder}/${file.name}` }))

const modelLines = (folder: string): string[] => [
  'from transformers import AutoModelForCausalLM, AutoTokenizer',
  `model = AutoModelForCausalLM.from_pretrained(${text(folder)})`,
  `tokenizer = AutoTokenizer.from_pretrained(${text(folder)})`
]

/** A Python string. */
const text = (value: string): string => JSON.stringify(value)
