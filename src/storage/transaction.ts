// One IndexedDB transaction around several requests: all of them count, or none.
import { promisifyRequest } from 'idb-keyval'
import type { UseStore } from 'idb-keyval'

/**
 * Runs `work`, which may await nothing but requests of this store, and resolves once the transaction is complete.
 * Where `work` throws, nothing of it is kept.
 * @throws what `work` throws, or the transaction's own error (`QuotaExceededError`), which tells more than its requests' `AbortError`
 */
export function transact<T>(useStore: UseStore, work: (store: IDBObjectStore) => Promise<T>): Promise<T> {
  return useStore('readwrite', async (store) => {
    const { transaction } = store
    const done = promisifyRequest(transaction)
    done.catch(() => {})
    try {
      const value = await work(store)
      await done
      return value
    } catch (error) {
      if (!transaction.error) abort(transaction)
      throw transaction.error ?? error
    }
  })
}

function abort(transaction: IDBTransaction): void {
  try {
    transaction.abort()
  } catch {
    // It is over already.
  }
}
