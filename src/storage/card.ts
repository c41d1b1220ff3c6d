// The README.md of an exported run: what it is, how it was made and what came out, for whoever opens the archive.
import type { RunResult } from '../engine/training/records'
import type { Recipe } from '../engine/training/recipe'
import { sourceName } from './library'
import type { CheckpointKind, CheckpointState, StoredRace, StoredRun } from './records'

/** @param notes what a reader should know of this export: "The last checkpoint is left out: it is damaged." */
export function runCard(
  run: StoredRun,
  race: StoredRace,
  checkpoints: Partial<Record<CheckpointKind, CheckpointState>>,
  application: string,
  notes: string[]
): string {
  const { model, task, settings } = race.request
  const budget = settings.budget.kind === 'steps' ? `${settings.budget.steps} steps` : `${settings.budget.seconds} seconds`
  const sections = [
    `# ${line(run.name)}`,
    'A run of Tuneground, a playground for tuning small language models in the browser. Import this archive in its library to go on or to ask the model.',
    ...notes,
    '## Recipe',
    list([['Base model', sourceName(model)], ...recipeRows(run.request.recipe), ['Budget', budget]]),
    '## Data',
    list([['Task', sourceName(task)]]),
    task.kind === 'file' ? '`run.json` holds the text of this file: think of that before you pass the archive on.' : '',
    '## Results',
    run.result ? results(run.result) : 'The run is not finished.',
    '## Files',
    list([
      ['run.json', 'request, curve and results; checkpoints’ step, random state and accounts'],
      ...Object.entries(checkpoints).map(([kind, state]): Row => [`${kind}.safetensors`, `tensors after step ${state.step}, float32`])
    ]),
    '## Versions',
    list([
      ['Tuneground', application],
      ['Made', new Date(run.createdAt).toISOString()],
      ['Changed', new Date(run.updatedAt).toISOString()]
    ])
  ]
  return sections.filter((section) => section !== '').join('\n\n') + '\n'
}

type Row = [name: string, value: string | number]

function recipeRows({ parts, schedule, optimiser, batchSize, maximumLength, seed }: Recipe): Row[] {
  const methods = parts.map(({ method, options, learningRate, weightDecay }): Row => {
    const settings = Object.entries({ ...options, learningRate, weightDecay }).map(([name, value]) => `${name} ${value}`)
    return [`Method ${method}`, settings.join(', ')]
  })
  return [
    ...methods,
    ['Schedule', `${schedule.kind}, ${schedule.warmupSteps} warm-up steps`],
    [
      'Optimiser',
      `AdamW, beta1 ${optimiser.beta1}, beta2 ${optimiser.beta2}, epsilon ${optimiser.epsilon}, ` +
        (optimiser.clipNorm > 0 ? `gradients clipped to norm ${optimiser.clipNorm}` : 'no clipping')
    ],
    ['Batch size', batchSize],
    ['Longest prompt', `${maximumLength} tokens`],
    ['Seed', seed]
  ]
}

function results({ stopReason, bestStep, test, validation, untrained, forgetting, cost }: RunResult): string {
  return list([
    ['Test accuracy', `${test.accuracy.toFixed(4)} (untuned ${untrained.accuracy.toFixed(4)}, ${test.examples} examples)`],
    ['Test F1 (macro)', test.macro.f1.toFixed(4)],
    ['Test ROC-AUC', test.rocAuc === null ? 'not defined' : test.rocAuc.toFixed(4)],
    ['Test log loss', `${test.logLoss.toFixed(4)} nats`],
    ['Validation accuracy', validation.accuracy.toFixed(4)],
    [
      'Loss on general prose',
      `${forgetting.before.toFixed(4)} before, ${forgetting.after.toFixed(4)} after, ${forgetting.adapterOff.toFixed(4)} with the adapter off (nats per token)`
    ],
    ['Best step', `${bestStep} of ${cost.steps}; stopped by ${stopReason}`],
    ['Training time', `${cost.seconds.toFixed(1)} s, and ${cost.compileSeconds.toFixed(1)} s of compilation`],
    ['Trained parameters', cost.trainableParameters],
    ['Peak memory above the base', `${cost.peakBytes} bytes`]
  ])
}

function list(rows: Row[]): string {
  return rows.map(([name, value]) => `- ${line(name)}: ${line(String(value))}`).join('\n')
}

/** Names come from people and files: one line, and nothing that Markdown or HTML would act upon. */
function line(text: string): string {
  return text.replace(/\s+/g, ' ').replace(/[\\`*_[\]<>#|]/g, '\\$&')
}
