// Tells what was measured of the model of 100 M parameters, naming what PyTorch ran on.
import { number, table, tileTable } from './table.mjs'

/** @typedef {import('./types').LargeResult} LargeResult */

/** What a ratio is worth where not both ran on a graphics card. @param {boolean} software @param {boolean} onProcessor */
function caution(software, onProcessor) {
  if (software && onProcessor) return 'Both ran on the processor, so that this says nothing of a graphics card.'
  if (software) return 'Ours ran on the processor and PyTorch on the graphics card, so that the ratios compare devices.'
  if (onProcessor) return 'PyTorch ran on the processor and ours on the graphics card, so that the ratios compare devices.'
  return undefined
}

/** @param {string} adapter @param {LargeResult} large @returns {string} Markdown */
export function describeLarge(adapter, large) {
  const { shape, batch, time, parameters, pytorch } = large
  const beside = (/** @type {string} */ name) => pytorch?.steps.find((step) => step.name === name)
  const steps = table(
    [
      'step',
      'ms',
      'steps/s',
      'JS ms',
      'dispatches',
      'resident MB',
      'peak MB',
      ...(pytorch ? ['PyTorch ms', 'steps/s', 'ours over PyTorch'] : [])
    ],
    large.steps.map((step) => {
      const peer = beside(step.name)
      return [
        step.name,
        number(step.milliseconds),
        number(1000 / step.milliseconds, 2),
        number(step.jsMilliseconds),
        step.dispatches ?? '',
        number((step.residentBytes ?? NaN) / 1e6, 0),
        number((step.peakBytes ?? NaN) / 1e6, 0),
        ...(pytorch ? [number(peer?.milliseconds), number(peer?.stepsPerSecond, 2), number(peer?.ratio, 2)] : [])
      ]
    })
  )
  const versions = Object.entries(pytorch?.versions ?? {}).map(([name, version]) => `${name} ${version}`)
  return [
    `#### ${(parameters / 1e6).toFixed(1)} M parameters on ${adapter} (${large.host})`,
    `Measured on ${large.measuredAt.slice(0, 10)}, ${large.cores} cores at a load of ${number(large.load)}, medians of ${large.rounds} rounds. A Llama of hidden size ${shape.hidden}, ` +
      `${shape.layers} layers, ${shape.heads} heads, feed-forward ${shape.intermediate} and vocabulary ${shape.vocabulary}, ${batch} x ${time} tokens, a label at each, float32.`,
    steps,
    pytorch
      ? [
          `PyTorch float32 on **${pytorch.device}** (${versions.join(', ')}; no TensorFloat-32).`,
          caution(large.software, pytorch.onProcessor)
        ]
          .filter(Boolean)
          .join(' ')
      : 'PyTorch was not measured.',
    `The matrix products of a step of all weights run at ${number(large.matmulGigaflops)} GFLOP/s, ${number(percent(large.matmulShareOfPeak), 0)} % of the ${number(large.bestGigaflops)} ` +
      'that the best tile reaches alone in any of them. GFLOP/s by tile:',
    tileTable(large.matmul)
  ].join('\n\n')
}

const percent = (/** @type {number | null} */ share) => (share === null ? null : 100 * share)
