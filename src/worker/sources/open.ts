// Opens the files of a model wherever it is kept: the site, or this browser's storage.
import { UserError } from '../../engine/errors'
import type { ModelFiles } from '../../engine/formats/modelFiles'
import { sourceName } from '../../storage/library'
import { getModel, modelId, storedFiles } from '../../storage/models'
import type { ModelSource, Progress } from '../protocol'
import { openSiteModel } from '../siteFiles'

/** Throws a `UserError` where the model is not there, or not whole. */
export async function openModelFiles(source: ModelSource, siteRoot: string, onProgress: (progress: Progress) => void): Promise<ModelFiles> {
  if (source.kind === 'site') return openSiteModel(new URL(source.path, siteRoot).href, onProgress)
  const model = await getModel(modelId(source))
  if (!model?.isComplete) {
    throw new UserError(
      `The model ${sourceName(source)} is not in this browser.`,
      source.kind === 'hub' ? 'Download it: choose “Other model…”.' : 'Choose its folder again: “Other model…”.'
    )
  }
  return storedFiles(model)
}
