// The pages, by their place in the address: `#/library`. A new page is one row.
import type { Component } from 'svelte'

export interface Route {
  path: string
  title: string
  /** The page that it is reached from; it then has no place of its own in the navigation. */
  within?: string
  load: () => Promise<{ default: Component }>
}

export const routes: readonly Route[] = [
  { path: 'playground', title: 'Playground', load: () => import('./playground/Playground.svelte') },
  { path: 'lab', title: 'Prompt lab', load: () => import('./lab/Lab.svelte') },
  { path: 'library', title: 'Library', load: () => import('./library/Library.svelte') },
  { path: 'meaning', title: 'What a prompt means', within: 'library', load: () => import('./meaning/Meaning.svelte') },
  { path: 'learn', title: 'Learn', load: () => import('./learn/Learn.svelte') }
]

/** The route of that path; the first where there is none. */
export function routeOf(path: string): Route {
  return routes.find((route) => route.path === path) ?? (routes[0] as Route)
}
