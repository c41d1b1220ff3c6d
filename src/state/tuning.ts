// The ways to tile matrix products as the link and the page name them, and a measured size in words.
import { candidateIds, CANDIDATES } from '../engine/kernels/webgpu/tiles'
import type { MeasuredChoices, Tuning } from '../worker/tuningCalls'

/** The three ways to choose, then every candidate. */
export const tunings: readonly { id: Tuning; label: string }[] = [
  { id: 'auto', label: 'Measured on graphics cards' },
  { id: 'on', label: 'Measured on any device' },
  { id: 'off', label: 'Chosen beforehand' },
  ...candidateIds.map((id) => ({ id, label: `Always ${CANDIDATES[id].title}` }))
]

export const isTuning = (text: string): text is Tuning => tunings.some(({ id }) => id === text)

export interface ChoiceRow {
  /** The largest sizes of the class. */
  product: string
  tiling: string
  speed: string
}

const MODES: Record<string, string> = { NT: 'forward', NN: 'input gradient', TN: 'weight gradient' }

/** Measured choices for people, in the order of their size classes. */
export function choiceRows(choices: MeasuredChoices): ChoiceRow[] {
  return Object.entries(choices)
    .sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }))
    .map(([key, { candidate, gigaflops }]) => {
      const [mode = '', rows = '', columns = '', depth = '', packing = '', arithmetic] = key.split(' ')
      const packed = packing === 'float32' ? '' : `, ${packing}`
      const allowed = arithmetic ? ', float16 allowed' : ''
      return {
        // The three sizes stay in one line.
        product: `${MODES[mode] ?? mode} ${[rows, columns, depth].join('\u00a0×\u00a0')}${packed}${allowed}`,
        tiling: CANDIDATES[candidate].title,
        speed: `${gigaflops < 10 ? gigaflops.toFixed(1) : Math.round(gigaflops)} GFLOP/s`
      }
    })
}
