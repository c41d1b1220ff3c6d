// Light, dark or as the system says; kept between visits. At the start public/theme.js has shown it already, before the first paint.

export const themes = ['auto', 'light', 'dark'] as const
export type ThemeName = (typeof themes)[number]

/** As in public/theme.js. */
const KEY = 'tuneground-theme'

const shown = () => themes.find((name) => name === document.documentElement.dataset['theme']) ?? 'auto'

class Theme {
  name = $state<ThemeName>(shown())
  /** Counts changes of the colours that are shown, the system's too: canvases redraw on it. */
  version = $state(0)

  constructor() {
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.version++)
  }

  choose(name: ThemeName): void {
    this.name = name
    this.#show()
    try {
      localStorage.setItem(KEY, name)
    } catch {
      // Private windows may refuse; the choice then lasts as long as the page.
    }
  }

  #show(): void {
    if (this.name === 'auto') delete document.documentElement.dataset['theme']
    else document.documentElement.dataset['theme'] = this.name
    this.version++
  }
}

export const theme = new Theme()
