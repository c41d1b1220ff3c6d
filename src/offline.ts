// Registers the service worker, so that everything works without a network after the first load.
import { registerSW } from 'virtual:pwa-register'

export interface Offline {
  /** Calls back once everything needed is stored on this computer (at once, where it already is). */
  onReady(callback: () => void): void
  /**
   * Calls back when a new version is stored and waits. It starts by itself once all pages of the old one are closed; `apply` starts it now and
   * reloads this page (other open pages go on undisturbed).
   */
  onUpdate(callback: (apply: () => void) => void): void
}

/** Call once at start. Does nothing where there are no service workers, and in development. */
export function startOffline(): Offline {
  const updateCallbacks: ((apply: () => void) => void)[] = []
  let isWaiting = false
  let isApplying = false

  const update = registerSW({
    immediate: true,
    onNeedRefresh: () => {
      isWaiting = true
      for (const callback of updateCallbacks) callback(apply)
    },
    onNeedReload: () => {
      if (isApplying) location.reload()
    }
  })

  function apply(): void {
    isApplying = true
    void update()
  }

  return {
    onReady(callback) {
      if (import.meta.env.PROD && 'serviceWorker' in navigator) void navigator.serviceWorker.ready.then(callback)
    },
    onUpdate(callback) {
      updateCallbacks.push(callback)
      if (isWaiting) callback(apply)
    }
  }
}
