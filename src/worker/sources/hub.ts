// A model of a hub, through its client: what it consists of, its files by ranges, and what goes wrong there in plain words.
import { fileDownloadInfo, InvalidApiResponseFormatError, listFiles, modelInfo, type FileDownloadInfoOutput } from '@huggingface/hub'
import { UserError } from '../../engine/errors'
import { missing, type ModelFiles } from '../../engine/formats/modelFiles'
import { allModelFileNames, openModelFolder } from '../../engine/model/modelFolder'
import { isRevision } from '../../storage/hubNames'
import type { ArrivingFile, ArrivingModel } from './keep'
import type { HubRequest, ModelOffer } from './protocol'

/** Files beside the model's own that are looked at before the list is refused. */
const MAXIMUM_FILES = 5000

const SHA256 = /^(?:W\/)?"?([0-9a-f]{64})"?$/

export interface HubModel extends ArrivingModel {
  offer: ModelOffer
}

/**
 * Looks at a public model: the files that make it up, at the commit that the revision names now, checked as far as their headers tell.
 * Only small files and headers are fetched. No token is ever sent.
 * @param signal the one that cancels a request now: the model's files are fetched by later calls, too
 * @throws UserError where it is not there, not public, or cannot be opened
 */
export async function openHubModel({ repository, revision = 'main', address }: HubRequest, signal: () => AbortSignal): Promise<HubModel> {
  const fetchHub = hubFetch(repository, address, signal)
  const access = { hubUrl: address, fetch: fetchHub }
  const { sha, gated } = await modelInfo({ name: repository, revision, additionalFields: ['sha'], ...access })
  if (gated) throw notPublic(repository, address)
  if (!isRevision(sha)) throw new Error('The hub names no commit.')
  const commit = { repo: { type: 'model' as const, name: repository }, revision: sha, ...access }
  const listed = new Map<string, { bytes: number; sha256?: string }>()
  for await (const { type, path, size, lfs } of listFiles(commit)) {
    if (type === 'file') listed.set(path, { bytes: lfs?.size ?? size, sha256: SHA256.exec(lfs?.oid ?? '')?.[1] })
    if (listed.size > MAXIMUM_FILES) throw new UserError(`${repository} has too many files.`, 'Choose a repository that holds one model.')
  }
  const files = new RemoteFiles(
    listed,
    (path) => fileDownloadInfo({ ...commit, path }),
    (path) => `${address}/${repository}/resolve/${encodeURIComponent(sha)}/${path}`,
    fetchHub
  )
  const names = await allModelFileNames(files)
  const { config, parameters, card } = await openModelFolder(files)
  const arriving = await Promise.all(names.map((name) => files.arriving(name)))
  const source = { kind: 'hub' as const, repository, revision: sha }
  const bytes = arriving.reduce((sum, file) => sum + file.bytes, 0)
  return { source, address, files: arriving, offer: { source, address, bytes, parameters, config, ...(card !== undefined && { card }) } }
}

/** Files of one commit; those that were read whole are kept, so that checking fetches nothing twice. */
class RemoteFiles implements ModelFiles {
  readonly #infos = new Map<string, Promise<FileDownloadInfoOutput>>()
  readonly #whole = new Map<string, Promise<Uint8Array>>()

  constructor(
    readonly listed: ReadonlyMap<string, { bytes: number; sha256?: string }>,
    readonly ask: (name: string) => Promise<FileDownloadInfoOutput | null>,
    readonly addressOf: (name: string) => string,
    readonly fetchHub: typeof fetch
  ) {}

  get names(): string[] {
    return [...this.listed.keys()]
  }

  size(name: string): number {
    const file = this.listed.get(name)
    if (!file) throw missing(name)
    return file.bytes
  }

  async read(name: string, begin?: number, end?: number): Promise<Uint8Array> {
    if (begin !== undefined || end !== undefined) return this.#gather(name, begin ?? 0, end ?? this.size(name))
    const whole = this.#whole.get(name) ?? this.#gather(name, 0, this.size(name))
    this.#whole.set(name, whole)
    return whole
  }

  async arriving(name: string): Promise<ArrivingFile> {
    const { etag } = await this.#info(name)
    const bytes = this.size(name)
    const stream = (begin: number) => this.#stream(name, begin, bytes)
    return { name, bytes, sha256: SHA256.exec(etag)?.[1] ?? this.listed.get(name)?.sha256, stream }
  }

  #info(name: string): Promise<FileDownloadInfoOutput> {
    const info = this.#infos.get(name) ?? this.#checkedInfo(name)
    this.#infos.set(name, info)
    return info
  }

  async #checkedInfo(name: string): Promise<FileDownloadInfoOutput> {
    const bytes = this.size(name)
    if (bytes === 0) return { size: 0, etag: '', url: '' }
    const info = await this.ask(name).catch((error: unknown) => {
      // Some mirrors hide the headers that the client reads; the listing told the size and the checksum, too.
      if (error instanceof InvalidApiResponseFormatError) return { size: bytes, etag: '', url: this.addressOf(name) }
      throw error
    })
    if (!info) throw missing(name)
    if (info.size === bytes) return info
    throw new UserError(`${name} has ${info.size} bytes where ${bytes} were announced.`, 'Try again later, or use another hub.')
  }

  async #gather(name: string, begin: number, end: number): Promise<Uint8Array> {
    const range = new Uint8Array(end - begin)
    let length = 0
    for await (const bytes of this.#stream(name, begin, end)) {
      if (length + bytes.length > range.length)
        throw new UserError(`${name} is longer than was announced.`, 'Try again later, or use another hub.')
      range.set(bytes, length)
      length += bytes.length
    }
    if (length === range.length) return range
    throw new UserError(`${name} came only in part.`, 'Check the connection and try again.')
  }

  async *#stream(name: string, begin: number, end: number): AsyncGenerator<Uint8Array> {
    const whole = this.#whole.get(name)
    if (whole && begin === 0 && end === this.size(name)) {
      yield await whole
      return
    }
    if (end <= begin) return
    const { url } = await this.#info(name)
    const isPart = begin > 0 || end < this.size(name)
    const headers = isPart ? { Range: `bytes=${begin}-${end - 1}` } : undefined
    const response = await this.fetchHub(url, { headers, cache: 'no-store' })
    if (isPart && response.status !== 206) {
      throw new UserError(
        'This hub does not send parts of files.',
        'Use another address of the hub, or download the files and choose their folder.'
      )
    }
    const reader = response.body!.getReader()
    try {
      for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value
    } finally {
      await reader.cancel().catch(() => undefined)
    }
  }
}

/** Fetches without cookies or referrer; an answer that is an error becomes advice. */
function hubFetch(repository: string, address: string, currentSignal: () => AbortSignal): typeof fetch {
  return async (input, init) => {
    const signal = currentSignal()
    const response = await fetch(input, { ...init, signal, credentials: 'omit', referrerPolicy: 'no-referrer' }).catch((error: unknown) => {
      if (signal.aborted) throw error
      throw new UserError(`${new URL(address).host} could not be reached.`, 'Check the connection and the hub’s address, then try again.')
    })
    if (response.ok) return response
    await response.body?.cancel()
    throw problemOf(response, repository, address)
  }
}

function problemOf({ status, headers }: Response, repository: string, address: string): UserError {
  const { host } = new URL(address)
  switch (status) {
    case 401:
    case 403:
      return notPublic(repository, address)
    case 404:
      return new UserError(
        `${host} has no model ${repository}, or not in this revision.`,
        'Check the name: it is “organisation/model”, as in its page’s address.'
      )
    case 429: {
      const seconds = Number(headers.get('retry-after'))
      const wait = seconds > 0 ? `${seconds} seconds` : 'a few minutes'
      return new UserError(`${host} has been asked too often from here.`, `Wait ${wait}, then go on: what came is kept.`)
    }
    default:
      return new UserError(`${host} answered with status ${status}.`, 'Try again later.')
  }
}

const notPublic = (repository: string, address: string) =>
  new UserError(
    `${new URL(address).host} has no model ${repository} that is open to everyone.`,
    'Check the name. Where the model is private or asks for an agreement first, download its files yourself and choose their folder.'
  )
