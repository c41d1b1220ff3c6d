// A worker that writes a value and stops for ever before a given chunk, so that a test can kill it there.
import { ChunkStore } from '../../src/storage/chunks'

self.onmessage = ({
  data
}: MessageEvent<{ database: string; key: string; bytes: Uint8Array<ArrayBuffer>; chunkBytes: number; dieAt: number }>) => {
  const store = new ChunkStore(data.database, {
    chunkBytes: data.chunkBytes,
    beforeWrite: (index) => {
      if (index < data.dieAt) return
      self.postMessage('stopped')
      return new Promise(() => {})
    }
  })
  void store.write(data.key, { bytes: data.bytes })
}
