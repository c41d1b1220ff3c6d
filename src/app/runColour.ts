// One colour and one letter a run, the same in curves, table, matrices and answers.

const COLOURS = 8

/** A CSS colour for the run in that place of the race; 0 is the hand-written prompt. */
export function runColour(place: number): string {
  return `var(--run-${place === 0 ? 0 : ((place - 1) % (COLOURS - 1)) + 1})`
}

/** A, B, C ...: tells runs apart without colour. */
export function runLetter(place: number): string {
  return String.fromCharCode(65 + (place % 26))
}

/** The colour as a canvas understands it. Custom properties hold `light-dark()`, which only a real property resolves. */
export function resolveColour(colour: string, within: HTMLElement): string {
  const probe = document.createElement('span')
  probe.style.color = colour
  within.append(probe)
  const resolved = getComputedStyle(probe).color
  probe.remove()
  return resolved
}
