// The library as the page shows it: what is stored, how much room it takes, and what went wrong with the last wish.
import { describeError } from '../engine/errors'
import type { ExportKind } from '../engine/formats/exports'
import { sortBrought, type Brought, type BroughtFile } from '../storage/adapterFiles'
import { exportRun, importRun } from '../storage/archive'
import { libraryEntries, type LibraryEntry } from '../storage/library'
import { requestPersistence, storageReport, type StorageReport } from '../storage/quota'
import { deleteRun, renameRun } from '../storage/runs'
import type { RaceRequest } from '../worker/protocol'
import type { AdapterImport, TransferApi } from '../worker/transferCalls'
import type { Problem } from './engineSession.svelte'

/** Where adapters that were brought belong, and what becomes of them. */
export type AdapterPlace = Pick<AdapterImport, 'name' | 'model' | 'task' | 'evaluateOnly'>

/** A form for others, or the archive of the whole run. */
export type ExportForm = ExportKind | 'archive'

export class Library {
  entries = $state.raw<LibraryEntry[] | undefined>(undefined)
  storage = $state.raw<StorageReport | undefined>(undefined)
  problem = $state.raw<Problem | undefined>(undefined)
  /** Said politely to screen readers, and shown: "Imported Soft prompt". */
  news = $state('')
  /** Adapters that wait for someone to say where they belong. */
  brought = $state.raw<Brought['adapters']>(undefined)
  readonly #api: TransferApi
  readonly #deviceStarted: () => Promise<void>

  constructor(api: TransferApi, deviceStarted: () => Promise<void>) {
    this.#api = api
    this.#deviceStarted = deviceStarted
  }

  async refresh(): Promise<void> {
    await this.#attempt(async () => {
      this.entries = await libraryEntries()
      this.storage = await storageReport()
    })
  }

  rename(id: string, name: string): Promise<void> {
    return this.#change(() => renameRun(id, name.trim()), `Renamed to ${name.trim()}.`)
  }

  delete(entry: LibraryEntry): Promise<void> {
    return this.#change(() => deleteRun(entry.id), `Deleted ${entry.name}.`)
  }

  /** Gives the run to the visitor as a file. */
  export(entry: LibraryEntry, form: ExportForm): Promise<void> {
    return this.#attempt(async () => {
      this.news = `Exporting ${entry.name}…`
      const archive = form === 'archive' ? await exportRun(entry.id) : await this.#api.exportRun(entry.id, form)
      const ending = form === 'archive' ? '' : ` ${form}`
      download(archive, `${fileName(`${entry.task} ${entry.name}${ending}`)}.zip`)
      this.news = `Exported ${entry.name}.`
    })
  }

  /** Takes archives of runs in, and adapters to `brought`. */
  async import(files: readonly BroughtFile[]): Promise<void> {
    await this.#attempt(async () => {
      const { archives, adapters } = await sortBrought(files)
      this.brought = adapters
      for (const archive of archives) {
        const run = await importRun(archive)
        this.news = `Imported ${run.name}.`
      }
    })
    await this.#reread()
  }

  /** Stores the brought adapters as a race at step 0, and returns it; undefined where they do not fit. */
  async placeAdapters(place: Omit<AdapterImport, 'adapters'>): Promise<RaceRequest | undefined> {
    const { brought } = this
    this.brought = undefined
    if (!brought) return undefined
    return this.#stored(() => this.#api.importAdapter({ ...place, adapters: brought.files }))
  }

  /** A new race from the run's best tensors; undefined where it has none. */
  tuneFurther(entry: LibraryEntry, settings: RaceRequest['settings']): Promise<RaceRequest | undefined> {
    return this.#stored(() => this.#api.tuneFurther(entry.id, settings))
  }

  keepRuns(): Promise<void> {
    return this.#attempt(async () => {
      const granted = await requestPersistence()
      this.news = granted
        ? 'The browser keeps your runs until you delete them.'
        : 'The browser did not agree. It may once you use this page more often, or keep it as a bookmark or an app.'
      this.storage = await storageReport()
    })
  }

  async #stored(store: () => Promise<RaceRequest>): Promise<RaceRequest | undefined> {
    let request: RaceRequest | undefined
    await this.#attempt(async () => {
      await this.#deviceStarted()
      request = await store()
    })
    await this.#reread()
    return request
  }

  async #change(work: () => Promise<void>, news: string): Promise<void> {
    await this.#attempt(async () => {
      await work()
      this.news = news
    })
    await this.#reread()
  }

  /** After a change, without wiping out what went wrong with it. */
  async #reread(): Promise<void> {
    const { problem } = this
    await this.refresh()
    this.problem ??= problem
  }

  async #attempt(work: () => Promise<void>): Promise<void> {
    this.problem = undefined
    try {
      await work()
    } catch (error) {
      this.problem = describeError(error)
    }
  }
}

function download(blob: Blob, name: string): void {
  const address = URL.createObjectURL(blob)
  const link = document.createElement('a')
  link.href = address
  link.download = name
  link.click()
  // The download reads the address after this task.
  setTimeout(() => URL.revokeObjectURL(address), 60_000)
}

function fileName(text: string): string {
  return (
    text
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-|-$/g, '') || 'run'
  )
}
