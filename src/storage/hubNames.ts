// Names on a hub: "organisation/model" and its revisions, as people type, paste and send them.

const PART = '[A-Za-z0-9][\\w.-]{0,95}'
const REPOSITORY = new RegExp(`^${PART}(/${PART})?$`)
const REVISION = /^[\w][\w./-]{0,199}$/

/** "organisation/model", or the few old models without an organisation: "gpt2". */
export const isRepository = (text: string): boolean => REPOSITORY.test(text) && !text.includes('..') && !text.includes('--')

/** A branch, a tag, or a commit. */
export const isRevision = (text: string): boolean => REVISION.test(text) && !text.includes('..')

export interface HubName {
  repository: string
  /** Undefined for the main branch. */
  revision?: string
  /** Where an address was pasted: the hub's own part of it. */
  address?: string
}

/**
 * What someone means by "organisation/model", "organisation/model@revision", or the address of a model's page or of one of its files;
 * undefined where it is none of these.
 */
export function parseHubName(text: string): HubName | undefined {
  const pasted = /^(https?:\/\/[^/\s]+)\/(.+)$/.exec(text.trim())
  const [, address, path] = pasted ?? [undefined, undefined, text.trim()]
  const [plain = ''] = (path ?? '').split(/[?#]/)
  const page = /^(.+?)\/(?:tree|blob|resolve|raw)\/(.+)$/.exec(plain)
  const [name = '', named] = (page?.[1] ?? plain.replace(/\/$/, '')).split('@', 2)
  // The page of a file goes on behind its revision; a revision with a slash in it comes encoded.
  const revision = named ?? (page ? decoded(page[2]?.split('/')[0] ?? '') : undefined)
  if (!isRepository(name) || (revision !== undefined && !isRevision(revision))) return undefined
  return { repository: name, ...(revision !== undefined && revision !== 'main' && { revision }), ...(address && { address }) }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** The address of a hub without what is behind its last slash; undefined where it is none that a page may ask. */
export function parseHubAddress(text: string): string | undefined {
  try {
    const { protocol, origin, pathname, hostname, search, username } = new URL(text.trim())
    const isOwn = ['localhost', '127.0.0.1'].includes(hostname)
    if (search !== '' || username !== '' || !(protocol === 'https:' || (protocol === 'http:' && isOwn))) return undefined
    return origin + pathname.replace(/\/+$/, '')
  } catch {
    return undefined
  }
}
