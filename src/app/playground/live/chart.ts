// The live chart: uPlot in the page's ink, one line a run in the run's colour, its letter at the line's end.
import uPlot from 'uplot'
import { significant } from '../../../format'
import { resolveColour, runColour, runLetter } from '../../runColour'
import type { RunState } from '../../../state/raceFold'
import { lineOf, untrainedValue, type Axis, type Measure } from './curveData'

export interface ChartView {
  measure: Measure
  axis: Axis
  /** Right end of the x axis, where it is known; the axis then never moves. */
  end: number | undefined
}

const DASHES = [[], [], [7, 4], [2, 3], [10, 3, 2, 3]]

/** Draws runs in an element and follows its size. Made anew when runs, view or theme change; `update` takes new points. */
export class CurveChart {
  readonly #chart: uPlot
  readonly #observer: ResizeObserver
  readonly #view: ChartView
  readonly #element: HTMLElement

  constructor(
    element: HTMLElement,
    runs: readonly RunState[],
    baseline: RunState | undefined,
    view: ChartView,
    onHover: (place: number | undefined) => void
  ) {
    this.#view = view
    this.#element = element
    const { options, data } = this.#draw(runs, baseline, onHover)
    this.#chart = new uPlot(options, data, element)
    this.#observer = new ResizeObserver(() => this.#chart.setSize({ width: element.clientWidth, height: element.clientHeight }))
    this.#observer.observe(element)
  }

  update(runs: readonly RunState[]): void {
    this.#chart.setData(joined(runs, this.#view))
  }

  destroy(): void {
    this.#observer.disconnect()
    this.#chart.destroy()
  }

  #draw(runs: readonly RunState[], baseline: RunState | undefined, onHover: (place: number | undefined) => void) {
    const { measure, axis, end } = this.#view
    const colour = (name: string) => resolveColour(name, this.#element)
    const ink = colour('var(--ink-faint)')
    const font = `12px ${getComputedStyle(this.#element).fontFamily}`
    const lines = { stroke: ink, font, ticks: { show: false }, grid: { stroke: colour('var(--grid)'), width: 1 } }
    const colours = runs.map((run) => colour(runColour(run.place)))
    const letters = runs.map((run) => runLetter(run.place))
    const grey = colour(runColour(0))
    const onRun = colour('var(--on-run)')
    const sheet = colour('var(--sheet)')
    const isLoss = measure !== 'validationAccuracy'
    const perRun = measure === 'trainingLoss' ? 2 : 1

    const series: uPlot.Series[] = runs.flatMap((run, i) => {
      const bold: uPlot.Series = {
        stroke: colours[i] as string,
        width: 2,
        dash: DASHES[run.place % DASHES.length] ?? [],
        spanGaps: true,
        points: { show: measure !== 'trainingLoss', size: 5, fill: colours[i] as string }
      }
      const faint: uPlot.Series = {
        stroke: `color-mix(in srgb, ${colours[i]} 35%, transparent)`,
        width: 1,
        spanGaps: true,
        points: { show: false }
      }
      return perRun === 2 ? [faint, bold] : [bold]
    })

    const options: uPlot.Options = {
      width: this.#element.clientWidth,
      height: this.#element.clientHeight,
      padding: [12, 26, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: {
        x: { time: false, range: (_u, low, high) => [0, end ?? Math.max(high ?? 1, (low ?? 0) + 1)] },
        y: {
          // A loss falls fast and then for long: on a logarithmic axis both are seen.
          ...(isLoss && { distr: 3 as const, log: 10 as const }),
          range: (_u, low, high) => yRange(low, high, isLoss, baseline && untrainedValue(baseline, measure))
        }
      },
      axes: [
        {
          ...lines,
          size: 30,
          space: 70,
          values: (_u, ticks) => ticks.map((tick) => (axis === 'steps' && !Number.isInteger(tick) ? '' : String(tick)))
        },
        {
          ...lines,
          size: 46,
          space: 36,
          ...(isLoss && { splits: (_u, _axis, low, high) => lossTicks(low, high), filter: (_u, ticks) => ticks }),
          values: (_u, ticks) => ticks.map((tick) => (isLoss ? significant(tick) : tick.toFixed(2)))
        }
      ],
      series: [{}, ...series],
      hooks: {
        setCursor: [(u) => onHover(u.cursor.left === undefined || u.cursor.left < 0 ? undefined : u.posToVal(u.cursor.left, 'x'))],
        draw: [
          (u) => {
            const tags = runs.flatMap((_, i) => {
              const at = lastPoint(u, (i + 1) * perRun)
              return at
                ? [{ ...at, letter: letters[i] as string, ground: colours[i] as string, ink: onRun, edge: colours[i] as string }]
                : []
            })
            const value = baseline && untrainedValue(baseline, measure)
            if (value !== undefined) {
              drawBaseline(u, value, grey)
              const { left, width } = u.bbox
              tags.push({ x: left + width, y: u.valToPos(value, 'y', true), letter: runLetter(0), ground: sheet, ink: grey, edge: grey })
            }
            for (const tag of apart(tags, u.bbox.top + u.bbox.height)) drawTag(u, tag)
          }
        ]
      }
    }
    return { options, data: joined(runs, this.#view) }
  }
}

/** One x column for all runs, as uPlot wants it: where a run has no point, there is a gap that its line spans. */
function joined(runs: readonly RunState[], { measure, axis }: ChartView): uPlot.AlignedData {
  const tables = runs.flatMap((run): uPlot.AlignedData[] => {
    const { x, y, faint } = lineOf(run, measure, axis)
    return faint
      ? [
          [faint.x, faint.y],
          [x, y]
        ]
      : [[x, y]]
  })
  return tables.length > 0 ? uPlot.join(tables) : [[]]
}

/** Losses below this are drawn at the bottom: a logarithmic axis has no zero. */
const LOWEST_LOSS = 1e-4

/** A frame that holds all lines with some air, steady while there are few points. */
function yRange(low: number | null, high: number | null, isLoss: boolean, baseline: number | undefined): [number, number] {
  const values = [low, high, baseline].filter((value): value is number => value !== undefined && value !== null && Number.isFinite(value))
  if (values.length === 0) return isLoss ? [0.1, 10] : [0, 1]
  const bottom = Math.min(...values)
  const top = Math.max(...values)
  if (isLoss) return [Math.max(LOWEST_LOSS, bottom / 1.15), Math.max(LOWEST_LOSS, top) * 1.15]
  const air = Math.max(0.06 * (top - bottom), 0.03)
  return [Math.max(0, bottom - air), Math.min(1, top + air)]
}

/** Round numbers within the axis, about equally far apart on a logarithmic one; evenly spaced ones where it spans little. */
function lossTicks(low: number, high: number): number[] {
  if (high / low < 3) {
    const step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5].find((size) => (high - low) / size <= 6) ?? 10
    const first = Math.ceil(low / step)
    return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => (first + i) * step)
  }
  const powers = Array.from({ length: 12 }, (_, i) => 10 ** (i - 5))
  const marks = high / low > 1000 ? [1] : high / low > 12 ? [1, 2, 5] : [1, 1.5, 2, 3, 5, 7]
  return powers.flatMap((power) => marks.map((mark) => mark * power)).filter((tick) => tick >= low && tick <= high)
}

interface Tag {
  x: number
  y: number
  letter: string
  ground: string
  ink: string
  edge: string
}

const TAG_SIZE = 14

/** The same tags, moved down where they would cover each other, and up again where they would leave the frame. */
function apart(tags: readonly Tag[], bottom: number): Tag[] {
  const step = (TAG_SIZE + 3) * devicePixelRatio
  const beside = (tag: Tag, others: readonly Tag[]) => others.filter(({ x }) => Math.abs(x - tag.x) < step)
  const down: Tag[] = []
  for (const tag of [...tags].sort((a, b) => a.y - b.y)) {
    down.push({ ...tag, y: Math.max(tag.y, ...beside(tag, down).map(({ y }) => y + step)) })
  }
  const up: Tag[] = []
  for (const tag of down.reverse()) {
    up.push({ ...tag, y: Math.min(tag.y, bottom, ...beside(tag, up).map(({ y }) => y - step)) })
  }
  return up
}

function drawBaseline(u: uPlot, value: number, colour: string): void {
  const { ctx, bbox } = u
  const y = Math.round(u.valToPos(value, 'y', true))
  ctx.save()
  ctx.strokeStyle = colour
  ctx.lineWidth = 1.5 * devicePixelRatio
  ctx.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio])
  ctx.beginPath()
  ctx.moveTo(bbox.left, y)
  ctx.lineTo(bbox.left + bbox.width, y)
  ctx.stroke()
  ctx.restore()
}

/** Where a line ends, in canvas pixels. */
function lastPoint(u: uPlot, series: number): { x: number; y: number } | undefined {
  const ys = u.data[series] ?? []
  let last = ys.length - 1
  while (last >= 0 && ys[last] == null) last--
  const y = ys[last]
  const x = u.data[0][last]
  return y == null || x === undefined ? undefined : { x: u.valToPos(x, 'x', true), y: u.valToPos(y, 'y', true) }
}

function drawTag(u: uPlot, { x, y, letter, ground, ink, edge }: Tag): void {
  const { ctx } = u
  const unit = devicePixelRatio
  const size = TAG_SIZE * unit
  ctx.save()
  ctx.fillStyle = ground
  ctx.strokeStyle = edge
  ctx.lineWidth = 1.5 * unit
  ctx.setLineDash([])
  ctx.beginPath()
  ctx.roundRect(x + 5 * unit, y - size / 2, size, size, 3 * unit)
  ctx.fill()
  ctx.stroke()
  ctx.fillStyle = ink
  ctx.font = `700 ${10 * unit}px sans-serif`
  ctx.textAlign = 'center'
  ctx.textBaseline = 'middle'
  ctx.fillText(letter, x + 5 * unit + size / 2, y + 0.5 * unit)
  ctx.restore()
}
