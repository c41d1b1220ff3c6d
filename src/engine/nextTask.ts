// Lets messages and timers in between two pieces of work.

/** Resolves in a new task of the event loop. A message, because nested timers are held back by four milliseconds. */
export function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel()
    port1.onmessage = () => {
      port1.close()
      resolve()
    }
    port2.postMessage(null)
  })
}
