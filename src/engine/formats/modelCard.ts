// The README.md of whatever leaves the library: what it is, how it was made, what came out, and how to load it.
import { metricsOf } from '../evaluation/metricTable'
import { methods } from '../methods/registry'
import type { RaceSettings, Recipe } from '../training/recipe'
import type { RunResult } from '../training/records'

export interface CardSubject {
  name: string
  /** What this folder is, in one sentence of Markdown. */
  about: string
  base: { name: string; revision?: string; licence?: string }
  task: {
    name: string
    licence?: string
    /** Text with `{field}` places. */
    template?: string
    labels?: readonly { name: string; word: string }[]
    /** What to think of before the data, or what it taught, is passed on. */
    note?: string
  }
  recipe: Recipe
  /** What its first tensors were, where the methods did not make them. */
  startedFrom?: string
  settings: RaceSettings
  result?: RunResult
  /** The Python library that loads it. */
  library?: 'peft' | 'transformers'
  /** Python that loads it, line by line. */
  load?: readonly string[]
  files: readonly Fact[]
  /** What a reader should know of this export: "The last checkpoint is left out: it is damaged." */
  notes: readonly string[]
  versions: readonly Fact[]
}

export type Fact = [name: string, value: string | number]

/** The metrics shown beside those of the untrained model, by id of the table. */
const compared = [
  'accuracy',
  'balancedAccuracy',
  'f1Macro',
  'precisionMacro',
  'recallMacro',
  'rocAuc',
  'matthews',
  'logLoss',
  'calibrationError',
  'perplexity',
  'tokenF1',
  'exactMatch',
  'rougeL'
]

/** Markdown with the front matter of a Hugging Face model card. Names that come from people and files cannot act upon it. */
export function modelCard(subject: CardSubject): string {
  const { name, about, base, task, recipe, startedFrom, settings, result, load = [], files, notes, versions } = subject
  const sections = [
    frontMatter(subject),
    `# ${line(name)}`,
    about,
    ...notes,
    load.length > 0 ? `## How to load it\n\n${['```python', ...load, '```'].join('\n')}` : '',
    task.template === undefined ? '' : prompting(task),
    '## Recipe',
    list([
      ['Base model', base.revision ? `${base.name}, revision ${base.revision}` : base.name],
      ...recipeFacts(recipe),
      ...(startedFrom === undefined ? [] : [['Started from', startedFrom] as Fact]),
      ['Budget', budget(settings)]
    ]),
    '## Data',
    list([
      ['Task', task.name],
      ...(task.labels ?? []).map((label): Fact => [`Label ${label.name}`, `answered as ${JSON.stringify(label.word)}`])
    ]),
    task.note ?? '',
    '## Results',
    result ? results(result) : 'The run is not finished: nothing was tested.',
    '## Licences',
    list([
      ['Base model', base.licence ?? 'not known; see its own card'],
      ['Data', task.licence ?? 'not known; it is the file’s owner’s']
    ]),
    'What was tuned is made from both: keep to the terms of each.',
    ...(files.length > 0 ? ['## Files', list(files)] : []),
    '## Versions',
    list(versions)
  ]
  return sections.filter((section) => section !== '').join('\n\n') + '\n'
}

/**
 * What a model's or data set's own card says of its licence: the field of its front matter, or the first sentence that begins "Licence:".
 * Undefined where it says nothing that can be found.
 */
export function licenceOf(card: string | undefined): string | undefined {
  const said = card?.match(/^licen[cs]e\s*:\s*(\S.*)$/im) ?? card?.match(/licen[cs]e(?: of the weights)?\W{0,3}:\s*([^\n|]+)/i)
  return said?.[1]?.split(/[.;]\s|[.;]?\s*$/)[0]?.trim() || undefined
}

function frontMatter({ base, recipe, library }: CardSubject): string {
  const tags = ['tuneground', ...new Set(recipe.parts.map(({ method }) => method))]
  return [
    '---',
    `base_model: ${JSON.stringify(base.name)}`,
    ...(library ? [`library_name: ${library}`] : []),
    'pipeline_tag: text-generation',
    `tags: ${JSON.stringify(tags)}`,
    '---'
  ].join('\n')
}

function prompting({ template = '', labels }: CardSubject['task']): string {
  const answer = labels ? 'the answer is the label word with the highest probability' : 'the answer is what the model writes next'
  // Indented, not fenced: a template may hold a fence of its own.
  const shown = template.split('\n').map((row) => `    ${row}`)
  return `A text is put into this template, behind the model’s begin token where it has one; ${answer}.\n\n${shown.join('\n')}`
}

function budget({ budget: chosen, trainingExamples }: RaceSettings): string {
  const length = chosen.kind === 'steps' ? `${chosen.steps} steps` : `${chosen.seconds} seconds`
  return trainingExamples === undefined ? length : `${length} on ${trainingExamples} training examples`
}

function recipeFacts({ parts, schedule, optimiser, batchSize, maximumLength, seed }: Recipe): Fact[] {
  const tuned = parts.map(({ method, options, learningRate, weightDecay, window }): Fact => {
    // Texts that belong to another choice were never read.
    const known = methods[method]?.options ?? {}
    const used = Object.entries(options).filter(([name]) => {
      const option = known[name]
      return option?.kind !== 'text' || !option.when || options[option.when.option] === option.when.value
    })
    const settings = Object.entries({ ...Object.fromEntries(used), learningRate, weightDecay }).map(([name, value]) => `${name} ${value}`)
    if (window) settings.push(`from ${100 * window.from} % to ${100 * window.to} % of the budget`)
    // A run of another version may hold a method that this one does not know.
    return [methods[method]?.title ?? method, settings.join(', ')]
  })
  return [
    ...tuned,
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

function results(result: RunResult): string {
  const { stopReason, bestStep, test, forgetting, cost } = result
  // By kind, because each has metrics of its own.
  const others: RunResult[] =
    result.kind === 'generation'
      ? [result.untrained, result.validation].map((metrics) => ({ ...result, test: metrics }))
      : [result.untrained, result.validation].map((metrics) => ({ ...result, test: metrics }))
  const rows = metricsOf(result.kind)
    .filter(({ id }) => compared.includes(id))
    .map(({ title, value, format }) => {
      const shown = (of: RunResult): string => {
        const number = value(of)
        return number === null ? 'not defined' : format(number)
      }
      return `| ${[title, ...[result, ...others].map(shown)].join(' | ')} |`
    })
  return [
    [`| on ${test.examples} test examples | tuned | untrained | tuned, validation |`, '| --- | ---: | ---: | ---: |', ...rows].join('\n'),
    list([
      [
        'Loss on general prose',
        `${forgetting.before.toFixed(4)} before, ${forgetting.after.toFixed(4)} after, ${forgetting.adapterOff.toFixed(4)} with the adapter off (nats per token)`
      ],
      ['Best step', `${bestStep} of ${cost.steps}; stopped by ${stopReason}`],
      ['Training time', `${cost.seconds.toFixed(1)} s, and ${cost.compileSeconds.toFixed(1)} s of compilation`],
      ['Trained parameters', cost.trainableParameters],
      ['Peak memory above the base', `${cost.peakBytes} bytes`]
    ])
  ].join('\n\n')
}

function list(facts: readonly Fact[]): string {
  return facts.map(([name, value]) => `- ${line(name)}: ${line(String(value))}`).join('\n')
}

/** One line, and nothing that Markdown or HTML would act upon. */
function line(text: string): string {
  return text.replace(/\s+/g, ' ').replace(/[\\`*_[\]<>#|]/g, '\\$&')
}
