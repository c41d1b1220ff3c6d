// Every call between the page and the worker that fetches models: plain data, carried by Comlink.
import type { DecoderConfig } from '../../engine/model/config'
import type { KeptSource, Progress } from '../protocol'

export interface HubRequest {
  /** "organisation/model". */
  repository: string
  /** A branch, tag or commit; the main branch where it is left out. */
  revision?: string
  /** The hub's address, without a slash at its end: `https://huggingface.co`. */
  address: string
}

/** A hub's model as it could be downloaded. */
export interface ModelOffer {
  source: Extract<KeptSource, { kind: 'hub' }>
  address: string
  /** Of all its files. */
  bytes: number
  parameters: number
  config: DecoderConfig
  /** The model card (README.md), where there is one. */
  card?: string
}

/** A file with its path inside the folder that was chosen or dropped: "model/config.json". */
export interface ChosenFile {
  path: string
  file: Blob
}

/**
 * The door of the worker that fetches. A call cancels the one before; what is cancelled resolves to undefined. Every rejected promise carries
 * `{ message, advice }`.
 */
export interface ModelSourcesApi {
  /** Looks at a hub's model without downloading its weights. */
  look(request: HubRequest): Promise<ModelOffer | undefined>
  /** Downloads it, or the rest of it. */
  download(request: HubRequest, onProgress: (progress: Progress) => void): Promise<KeptSource | undefined>
  /** Copies a model of this computer into the browser's storage: a folder's files, or a zip. */
  take(files: ChosenFile[], onProgress: (progress: Progress) => void): Promise<KeptSource | undefined>
  /** Ends what is going on; what came of a download is kept. */
  cancel(): Promise<void>
}
