// A worker that exports a run, imports it again, and says how that went.
import { exportRun, importRun } from '../../src/storage/archive'
import { sweepStorage } from '../../src/storage/library'
import { requestPersistence } from '../../src/storage/quota'

self.onmessage = async ({ data }: MessageEvent<string>) => {
  await sweepStorage()
  const { name } = await importRun(await exportRun(data))
  self.postMessage({ name, persisted: await requestPersistence() })
}
