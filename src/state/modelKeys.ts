// How the set-up and links name a model: "tuneground-2m" of the site, "hub:organisation/model@commit", "local:id:name".
import { isRepository, isRevision, parseHubName } from '../storage/hubNames'
import type { ModelSource } from '../worker/protocol'
import { siteModels } from './catalogue'

export const DEFAULT_HUB = 'https://huggingface.co'

const MAIN = 'main'

/** The key of a source; undefined for a folder of the site that is in no catalogue. */
export function modelKey(source: ModelSource): string | undefined {
  if (source.kind === 'hub') return `hub:${source.repository}@${source.revision}`
  if (source.kind === 'local') return `local:${source.id}:${source.name}`
  return siteModels.find((row) => row.path === source.path)?.id
}

/** The source that a key names, whether it is here or not; undefined where it is no key. */
export function modelOfKey(key: string): ModelSource | undefined {
  const [, kind, rest = ''] = /^(hub|local):(.+)$/.exec(key) ?? []
  if (kind === 'hub') {
    const name = parseHubName(rest)
    if (!name || name.address !== undefined || !isRepository(name.repository)) return undefined
    const { repository, revision = MAIN } = name
    return isRevision(revision) ? { kind: 'hub', repository, revision } : undefined
  }
  if (kind === 'local') {
    const [, id, name] = /^([\w-]{1,64}):(.{1,100})$/.exec(rest) ?? []
    return id && name ? { kind: 'local', id, name } : undefined
  }
  const path = siteModels.find((row) => row.id === key)?.path
  return path === undefined ? undefined : { kind: 'site', path }
}

/** A model's name for people. */
export function modelTitle(source: ModelSource): string {
  if (source.kind === 'hub') return source.repository
  if (source.kind === 'local') return source.name
  return siteModels.find((row) => row.path === source.path)?.title ?? source.path
}

/** What someone would type for a hub's model. */
export const hubName = ({ repository, revision }: Extract<ModelSource, { kind: 'hub' }>): string =>
  revision === MAIN ? repository : `${repository}@${revision}`

/** A revision as there is room for it: a commit by its first digits. */
export const shortRevision = (revision: string): string => (/^[0-9a-f]{40}$/.test(revision) ? revision.slice(0, 7) : revision)
