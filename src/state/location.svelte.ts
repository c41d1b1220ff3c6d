// Where the visitor is: the part of the address after `#`, as a route and a query.

function parse(hash: string): { path: string; query: string } {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2)
  return { path, query }
}

class Location {
  #current = $state.raw(parse(globalThis.location?.hash ?? ''))

  constructor() {
    globalThis.addEventListener?.('hashchange', () => {
      this.#current = parse(globalThis.location.hash)
    })
  }

  get path(): string {
    return this.#current.path
  }

  get query(): string {
    return this.#current.query
  }

  /** Goes to another page, as a click on a link does. */
  go(path: string): void {
    globalThis.location.hash = `/${path}`
  }

  /** Writes the query without a new entry in the history, so that Back leaves the page and not a tick. */
  replaceQuery(query: string): void {
    const hash = `#/${this.path || 'playground'}${query ? `?${query}` : ''}`
    if (globalThis.location.hash === hash) return
    history.replaceState(history.state, '', hash)
    this.#current = parse(hash)
  }
}

export const location = new Location()
