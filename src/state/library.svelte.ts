// The library as the page shows it: what is stored, how much room it takes, and what went wrong with the last wish.
import { describeError } from '../engine/errors'
import { exportRun, importRun } from '../storage/archive'
import { libraryEntries, type LibraryEntry } from '../storage/library'
import { requestPersistence, storageReport, type StorageReport } from '../storage/quota'
import { deleteRun, renameRun } from '../storage/runs'
import type { Problem } from './engineSession.svelte'

export class Library {
  entries = $state.raw<LibraryEntry[] | undefined>(undefined)
  storage = $state.raw<StorageReport | undefined>(undefined)
  problem = $state.raw<Problem | undefined>(undefined)
  /** Said politely to screen readers, and shown: "Imported Soft prompt". */
  news = $state('')

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
  export(entry: LibraryEntry): Promise<void> {
    return this.#attempt(async () => {
      download(await exportRun(entry.id), `${fileName(`${entry.task} ${entry.name}`)}.zip`)
      this.news = `Exported ${entry.name}.`
    })
  }

  async import(files: Iterable<File>): Promise<void> {
    for (const file of files) {
      await this.#attempt(async () => {
        const run = await importRun(file)
        this.news = `Imported ${run.name}.`
      })
    }
    await this.#reread()
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
