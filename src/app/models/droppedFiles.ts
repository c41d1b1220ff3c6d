// The files of what was dropped, those inside folders too.
import type { ChosenFile } from '../../worker/sources/protocol'

/** A model has a dozen; a whole disk that is dropped by mistake is not walked through. */
const MAXIMUM_FILES = 500

/** @see https://wicg.github.io/entries-api/ */
export async function droppedFiles({ items }: DataTransfer): Promise<ChosenFile[]> {
  // Taken at once: the list is empty after the event.
  const entries = [...items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null)
  const found: ChosenFile[] = []
  for (const entry of entries) await walk(entry, found)
  return found
}

async function walk(entry: FileSystemEntry, found: ChosenFile[]): Promise<void> {
  if (found.length >= MAXIMUM_FILES) return
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject))
    found.push({ path: entry.fullPath.replace(/^\//, ''), file })
  } else {
    const reader = (entry as FileSystemDirectoryEntry).createReader()
    // A reader gives some at a time, and none at the end.
    for (;;) {
      const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject))
      if (some.length === 0) return
      for (const inner of some) await walk(inner, found)
    }
  }
}
