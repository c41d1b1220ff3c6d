// Where points of a plane stand in a picture, and which of their labels have room.

type Place = readonly [number, number]
export type Frame = (place: Place) => [number, number]

const MARGIN = 24
const LETTER_WIDTH = 5.8
const LINE_HEIGHT = 10

/** One scale for both axes, so that distances are true; up is up. */
export function frameOf(places: readonly Place[], width: number, height: number): Frame {
  const range = (axis: 0 | 1): [number, number] => {
    const values = places.map((place) => place[axis])
    return [Math.min(...values), Math.max(...values)]
  }
  const [[left, right], [bottom, top]] = [range(0), range(1)]
  const scale = Math.min((width - 2 * MARGIN) / (right - left || 1), (height - 2 * MARGIN) / (top - bottom || 1))
  return ([x, y]) => [width / 2 + (x - (left + right) / 2) * scale, height / 2 - (y - (bottom + top) / 2) * scale]
}

/** The words in the picture; a label is shown where it does not lie over an earlier one. */
export function labelled(
  words: readonly { text: string; place: Place }[],
  frame: Frame
): { text: string; place: [number, number]; shown: boolean }[] {
  const taken: { x: number; y: number; width: number }[] = []
  return words.map(({ text, place }) => {
    const [x, y] = frame(place)
    const width = (text.length + 1) * LETTER_WIDTH
    const shown = taken.every((box) => x + width < box.x || box.x + box.width < x || Math.abs(y - box.y) > LINE_HEIGHT)
    if (shown) taken.push({ x, y, width })
    return { text, place: [x, y], shown }
  })
}
