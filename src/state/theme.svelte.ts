// Light, dark or as the system says; kept between visits.

export const themes = ['auto', 'light', 'dark'] as const
export type ThemeName = (typeof themes)[number]

const KEY = 'tuneground-theme'

function stored(): ThemeName {
  try {
    const value = localStorage.getItem(KEY)
    return themes.find((name) => name === value) ?? 'auto'
  } catch {
    return 'auto'
  }
}

class Theme {
  name = $state<ThemeName>(stored())
  /** Counts changes of the colours that are shown, the system's too: canvases redraw on it. */
  version = $state(0)

  constructor() {
    this.#show()
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
